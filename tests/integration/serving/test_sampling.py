"""What a client asks of sampling reaches the predictor, by every protocol, and does there what it says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import openai
import pytest
import torch

from llm_twin.serving.generation import BASE, Row, SamplingChoice, pick_token
from tests.integration.serving.test_operations import transformer

pytestmark = pytest.mark.timeout(600)
MESSAGES = [{"role": "user", "content": "Hello?"}]
SAMPLING = {
    "temperature": 0.7, "top_p": 0.9, "seed": 3, "stop": ["\n\n", "END"], "max_tokens": 11, "presence_penalty": 0.5,
    "frequency_penalty": -1.5, "repetition_penalty": 1.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A transformer before a predictor that keeps what it is sent."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(b'{"data": []}')

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            bodies.append(body)
            if body.get("stream"):
                done = {"choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]}
                self.answer(b"data: " + json.dumps(done).encode() + b"\n\ndata: [DONE]\n\n", "text/event-stream")
                return
            choice = {"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}
            self.answer(json.dumps({"choices": [choice]}).encode())

        def answer(self, data, kind="application/json"):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *parts):
            pass

    predictor = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=predictor.serve_forever, daemon=True).start()
    folder = tmp_path_factory.mktemp("sampling")
    with transformer(folder, f"http://127.0.0.1:{predictor.server_port}", "") as (url, _):
        yield url, bodies
    predictor.shutdown()
    predictor.server_close()


def given(body):
    return {name: body.get(name) for name in SAMPLING}


def test_chat_and_completions_hand_all_of_it_on(server):
    url, bodies = server
    own = {"repetition_penalty": 1.2}
    usual = {name: value for name, value in SAMPLING.items() if name not in own}
    with openai.OpenAI(base_url=f"{url}/openai/v1", api_key="none", max_retries=0) as client:
        client.chat.completions.create(model="ada-quill", messages=MESSAGES, extra_body=own, **usual)
        assert given(bodies[-1]) == SAMPLING
        client.completions.create(model="ada-quill", prompt="Hello?", extra_body=own, **usual)
        assert given(bodies[-1]) == SAMPLING
        for _ in client.chat.completions.create(
            model="ada-quill", messages=MESSAGES, extra_body=own, stream=True, **usual
        ):
            pass
        assert given(bodies[-1]) == SAMPLING and bodies[-1]["stream"]
        with pytest.raises(openai.BadRequestError) as wrong:
            client.chat.completions.create(model="ada-quill", messages=MESSAGES, presence_penalty=2.5)
        assert wrong.value.body["param"] == "presence_penalty"


def test_kserve_hands_all_of_it_on(server):
    url, bodies = server
    model = f"{url}/v2/models/ada-quill"
    parameters = {**SAMPLING, "stop": ["END"]}
    for path in ("generate", "generate_stream"):
        done = httpx.post(f"{model}/{path}", json={"text_input": "Hello?", "parameters": parameters}, timeout=60)
        assert done.status_code == 200 and given(bodies[-1]) == parameters
    one = httpx.post(f"{model}/generate", json={"text_input": "Hello?", "parameters": {"stop": "END"}}, timeout=60)
    assert one.status_code == 200 and bodies[-1]["stop"] == ["END"]
    tensor = {"name": "question", "shape": [1], "datatype": "BYTES", "data": ["Hello?"]}
    httpx.post(f"{model}/infer", json={"inputs": [tensor], "parameters": parameters}, timeout=60).raise_for_status()
    assert given(bodies[-1]) == parameters
    instance = {"question": "Hello?", **parameters}
    httpx.post(f"{url}/v1/models/ada-quill:predict", json={"instances": [instance]}, timeout=60).raise_for_status()
    assert given(bodies[-1]) == parameters
    for name, value in (("top_p", 0), ("stop", ["x"] * 9), ("max_tokens", "many"), ("seed", 1.5)):
        wrong = httpx.post(f"{model}/generate", json={"text_input": "Hello?", "parameters": {name: value}}, timeout=60)
        assert wrong.status_code == 400 and name in wrong.json()["error"]


def test_a_stream_of_several_answers_is_refused_by_name(server):
    url, _ = server
    for path, body in (("chat/completions", {"messages": MESSAGES}), ("completions", {"prompt": "Hello?"})):
        asked = {"model": "ada-quill", "n": 2, **body}
        refused = httpx.post(f"{url}/openai/v1/{path}", json={**asked, "stream": True}, timeout=60)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "n"


def test_the_local_predictor_counts_what_was_written():
    def pick(written, **sampling):
        row = Row([2], SamplingChoice(max_tokens=9, **sampling), BASE, lambda text, finish: None)
        row.written.extend(written)
        return pick_token(torch.tensor([1.0, 0.9, 2.0]), row)

    assert pick([]) == 2 and pick([2, 2]) == 2
    assert pick([2], presence_penalty=1.05) == 0  # 2.0 − 1.05 is less than 1.0
    assert pick([2], frequency_penalty=0.6) == 2 and pick([2, 2], frequency_penalty=0.6) == 0
    assert pick([], presence_penalty=2.0) == 2  # the prompt's tokens do not count
    assert pick([1], presence_penalty=-1.5) == 1
