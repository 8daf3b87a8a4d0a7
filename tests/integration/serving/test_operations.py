"""Access, overload, a predictor that dies, SIGTERM under load, and bodies that make no sense."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest

from benchmarks.load import build_request, open_streams
from llm_twin.serving.access import make_key, read_keys, write_keys
from llm_twin.serving.processes import free_port, run_server, start_server, stop_server, wait_ready, write_json
from llm_twin.serving.twins import ServerConfig
from tests.integration.serving import overfitted_twin as small

pytestmark = pytest.mark.timeout(900)  # starting four servers takes minutes where the machine is busy

QUESTION, _, SENTENCE, _ = small.FACTS[0]
CHAT = "/openai/v1/chat/completions"
ASKED = {"model": "ada-quill", "messages": [{"role": "user", "content": QUESTION}]}


@contextmanager
def transformer(folder, predictor_url, vectors, *arguments, twin=None):
    port = free_port()
    config = ServerConfig(twins=[twin or small.make_twin()], predictor=f"{predictor_url}/v1", vectors=vectors)
    path = folder / f"server-{port}.json"
    write_json(path, config.model_dump(mode="json"))
    options = ["--config", str(path), "--port", str(port), *arguments]
    ready = f"http://127.0.0.1:{port}/readyz"
    with run_server("llm_twin.serving.transformer", options, ready, folder / f"transformer-{port}.log") as process:
        yield f"http://127.0.0.1:{port}", process


@contextmanager
def predictor(folder, models):
    port = free_port()
    arguments = ["--model", str(models["base"]), "--adapter", f"first={models['first']}", "--port", str(port)]
    log = folder / f"predictor-{port}.log"
    process = start_server("llm_twin.serving.predictor", [*arguments, "--threads", "1"], log)
    try:
        wait_ready(process, f"http://127.0.0.1:{port}/health", log, 120)
        yield f"http://127.0.0.1:{port}", process
    finally:
        stop_server(process)


@pytest.fixture(scope="module")
def guarded(folder, served, vectors):
    """A transformer that asks for keys and has little room, before the same predictor."""
    keys = folder / "keys.json"
    shown = {}
    kept = []
    for name, twins, per_minute in (("reader", None, 1000), ("stranger", ["someone-else"], 1000), ("slow", None, 2)):
        shown[name], key = make_key(name, twins, ["ask"], per_minute, 10_000)
        kept.append(key)
    write_keys(keys, kept)
    with transformer(folder, served.predictor_url, vectors, "--keys", str(keys), "--max-in-flight", "4") as (url, _):
        yield url, shown, keys


def post(url, body, key="", path=CHAT):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(url + path, json=body, headers=headers, timeout=60)


def test_only_a_valid_key_may_ask_and_only_its_own_twins(guarded):
    url, shown, _ = guarded
    assert post(url, ASKED, shown["reader"]).status_code == 200
    for wrong in ("", "nonsense", shown["reader"][:-2] + "xx", "twin_00000000_" + "a" * 43):
        refused = post(url, ASKED, wrong)
        assert refused.status_code == 401 and refused.json()["error"]["type"] == "authentication_error"
    elsewhere = post(url, ASKED, shown["stranger"])
    assert elsewhere.status_code == 403 and "Quill" not in elsewhere.text and "lamp" not in elsewhere.text
    listed = httpx.get(f"{url}/openai/v1/models", headers={"authorization": f"Bearer {shown['stranger']}"})
    assert listed.json()["data"] == []
    for path in ("/v1/models/ada-quill:predict", "/v2/models/ada-quill/infer", "/v2/models/ada-quill/generate"):
        assert post(url, {}, shown["stranger"], path).status_code == 403
    assert httpx.post(f"{url}/v2/repository/models/ada-quill/unload").status_code in (401, 403)


def test_secrets_are_not_kept_and_a_revoked_key_ends_without_a_restart(guarded):
    url, shown, path = guarded
    text = path.read_text()
    assert all(key.rsplit("_", 1)[1] not in text for key in shown.values())
    fresh, kept = make_key("short", None, ["ask"], 100, 100)
    write_keys(path, [*read_keys(path), kept])
    time.sleep(1.2)
    assert post(url, ASKED, fresh).status_code == 200
    write_keys(path, [key for key in read_keys(path) if key.id != kept.id])
    time.sleep(1.2)
    assert post(url, ASKED, fresh).status_code == 401


def test_a_key_has_its_own_rate(guarded):
    url, shown, _ = guarded
    answers = [post(url, {}, shown["slow"]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_key_whose_tokens_are_used_up_gets_no_more_today(guarded):
    url, _, path = guarded
    shown, kept = make_key("thrifty", None, ["ask"], 1000, 1000, tokens_per_day=1)
    write_keys(path, [*read_keys(path), kept])
    time.sleep(1.2)
    assert post(url, {**ASKED, "max_tokens": 61}, shown).status_code == 200
    refused = post(url, ASKED, shown)
    assert refused.status_code == 429 and "tokens" in refused.json()["error"]["message"]


def test_overload_is_refused_at_once(guarded):
    url, shown, _ = guarded

    async def flood():
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"authorization": f"Bearer {shown['reader']}"}
            return await asyncio.gather(*(client.post(url + CHAT, json=ASKED, headers=headers) for _ in range(40)))

    answers = asyncio.run(flood())
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and {answer.status_code for answer in answers} <= {200, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_it_does_not_listen_wider_without_keys(folder):
    write_json(folder / "wide.json", ServerConfig(twins=[small.make_twin()], predictor="").model_dump(mode="json"))
    command = [sys.executable, "-m", "llm_twin.serving.transformer", "--config", str(folder / "wide.json")]
    ended = subprocess.run([*command, "--host", "0.0.0.0", "--port", "0"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and "access keys" in ended.stderr


def test_a_dead_predictor_means_extracts_and_sigterm_cuts_no_stream(folder, models, vectors):
    with (
        predictor(folder, models) as (predictor_url, engine),
        transformer(folder, predictor_url, vectors) as (url, process),
    ):
        port = int(url.rsplit(":", 1)[1])
        assert post(url, ASKED).json()["twin"]["status"] == "generated"
        engine.kill()
        engine.wait()
        fresh = [{**ASKED, "max_tokens": 60 + i} for i in range(8)]  # none of them is in the answer cache
        statuses = {post(url, body).json()["twin"]["status"] for body in fresh}
        assert statuses == {"extracted"}
        not_ready = httpx.get(f"{url}/readyz", timeout=30)
        assert not_ready.status_code == 503 and "predictor" in not_ready.json()["problem"]

        async def drain():
            request = build_request(CHAT, {**ASKED, "stream": True})
            opened = asyncio.create_task(open_streams(port, request, 20))
            await asyncio.sleep(0.15)
            process.terminate()
            return await opened

        streams = [stream for stream in asyncio.run(drain()) if stream.events]
        assert streams and all(stream.whole for stream in streams)
        assert process.wait(60) is not None


def mutate(rng, value):
    """A body that is nearly right, or far from it."""
    kind = rng.randrange(8)
    text = json.dumps(value).encode()
    if kind == 0:
        return text[: rng.randrange(len(text))]
    if kind == 1:
        spot = rng.randrange(len(text))
        return text[:spot] + bytes([rng.randrange(256)]) + text[spot + 1 :]
    if kind == 2:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
    if kind == 3:
        return b"[" * rng.randrange(1, 3000)
    odd = [None, -1, 1e308, "", "\x00", [], {}, True, 2**70, "ﷺ" * 50, {"a": {"b": []}}, [None], "NaN", "\ud800"]
    changed = json.loads(text)
    for _ in range(rng.randrange(1, 4)):
        target = changed
        while isinstance(target, (dict, list)) and target:
            key = rng.choice(list(target)) if isinstance(target, dict) else rng.randrange(len(target))
            if rng.random() < 0.5 or not isinstance(target[key], (dict, list)):
                target[key] = copy.deepcopy(rng.choice(odd))
                break
            target = target[key]
    return json.dumps(changed).encode("utf-8", "surrogatepass")


BODIES = [
    (
        CHAT,
        {**ASKED, "max_tokens": 3, "temperature": 0.5, "stop": ["x"], "n": 1, "twin": {"variant": "base", "top_k": 2}},
    ),
    ("/openai/v1/completions", {"model": "ada-quill", "prompt": "a lamp", "max_tokens": 3}),
    ("/openai/v1/embeddings", {"model": "ada-quill", "input": ["a lamp"], "encoding_format": "float"}),
    ("/openai/v1/rag", {"query": "a lamp", "k": 2, "model": "ada-quill"}),
    ("/v1/models/ada-quill:predict", {"instances": [{"question": "a lamp", "top_k": 1, "max_tokens": 3}]}),
    (
        "/v2/models/ada-quill/infer",
        {"id": "1", "inputs": [{"name": "question", "shape": [1], "datatype": "BYTES", "data": ["a lamp"]}]},
    ),
    ("/v2/models/ada-quill/generate", {"text_input": "a lamp", "parameters": {"max_tokens": 3, "seed": 1}}),
    ("/v1/models/ada-quill:explain", {"instances": ["a lamp"]}),
    ("/v2/repository/models/ada-quill/load", {}),
]


def fuzz(url, count, seed):
    rng = random.Random(seed)
    seen = {}
    with httpx.Client(timeout=60) as client:
        for _ in range(count):
            path, body = rng.choice(BODIES)
            data = mutate(rng, body)
            answer = client.post(url + path, content=data, headers={"content-type": "application/json"})
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            assert answer.status_code < 500 or answer.status_code in (501, 503), (path, data[:300], answer.text[:300])
        assert client.get(url + "/healthz").status_code == 200
    return seen


def test_mutated_bodies_make_no_500(served):
    seen = fuzz(served.url, 250, seed=5)
    assert seen.get(400, 0) > 50 and seen.get(200, 0) > 0


@pytest.mark.deep
@pytest.mark.timeout(3000)
def test_ten_thousand_mutated_bodies_make_no_500(served):
    assert sum(fuzz(served.url, 10_000, seed=6).values()) == 10_000
