"""Every protocol with its own official client, and its own form of error."""

from __future__ import annotations

import asyncio
import json

import httpx
import openai
import pytest

from tests.integration.serving import overfitted_twin as small

QUESTION, _, SENTENCE, _ = small.FACTS[0]
MESSAGES = [{"role": "user", "content": QUESTION}]


def test_chat_completions_take_the_usual_parameters(client):
    answer = client.chat.completions.create(
        model="ada-quill", messages=MESSAGES, n=2, seed=7, temperature=0.0, top_p=0.9, max_tokens=40, stop=["\n\n"]
    )
    assert [choice.message.content for choice in answer.choices] == [SENTENCE, SENTENCE]
    assert answer.usage.completion_tokens > 0 and answer.usage.total_tokens > answer.usage.prompt_tokens
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}


def test_max_tokens_ends_an_answer_with_length(client):
    answer = client.chat.completions.create(model="ada-quill", messages=MESSAGES, max_tokens=1)
    assert answer.choices[0].finish_reason in ("length", "stop") and answer.usage.completion_tokens == 1


def test_completions_whole_and_streamed(client):
    whole = client.completions.create(model="ada-quill", prompt=QUESTION)
    assert whole.choices[0].text == SENTENCE and whole.choices[0].model_extra["twin"]["sources"]
    pieces = [e.choices[0].text for e in client.completions.create(model="ada-quill", prompt=QUESTION, stream=True)]
    assert "".join(pieces).strip() == SENTENCE


def test_embeddings_are_unit_vectors_of_the_index(client):
    found = client.embeddings.create(model="ada-quill", input=["a lamp", "a boat"])
    assert len(found.data) == 2 and len(found.data[0].embedding) == 384
    assert sum(x * x for x in found.data[0].embedding) == pytest.approx(1, abs=1e-3)


def test_rag_gives_k_sources(served):
    body = {"query": QUESTION, "k": 3, "answer": False}
    found = httpx.post(f"{served.url}/openai/v1/rag", json=body, timeout=60).json()
    assert len(found["sources"]) == 3 and found["sources"][0]["title"] == "The lamp"
    whole = httpx.post(f"{served.url}/openai/v1/rag", json={"query": QUESTION}, timeout=60).json()
    assert whole["answer"] == SENTENCE and whole["status"] == "generated"


def test_models_list_the_twins(client):
    assert [model.id for model in client.models.list()] == ["ada-quill"]


def test_kserves_own_client_speaks_v1_and_v2(served):
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    async def ask():
        v2 = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
        tensor = InferInput("question", [2], "BYTES", [QUESTION, small.FACTS[1][0]])
        answered = await v2.infer(
            served.url, InferRequest(model_name="ada-quill", infer_inputs=[tensor]), model_name="ada-quill"
        )
        live, ready = await v2.is_server_live(served.url), await v2.is_model_ready(served.url, "ada-quill")
        v1 = InferenceRESTClient(RESTConfig(protocol="v1", timeout=60))
        old = await v1.infer(served.url, {"instances": [QUESTION]}, model_name="ada-quill")
        return answered, live, ready, old

    answered, live, ready, old = asyncio.run(ask())
    assert live and ready
    assert answered.outputs[0].name == "answer" and answered.outputs[0].data == [SENTENCE, small.FACTS[1][2]]
    assert old["predictions"][0]["answer"] == SENTENCE


def test_generate_and_generate_stream(served):
    url = f"{served.url}/v2/models/ada-quill/generate"
    body = {"text_input": QUESTION, "parameters": {"temperature": 0.0}}
    whole = httpx.post(url, json=body, timeout=60).json()
    assert whole["text_output"] == SENTENCE and whole["details"]["status"] == "generated"
    with httpx.stream("POST", f"{url}_stream", json=body, timeout=60) as stream:
        events = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert "".join(event["text_output"] for event in events).strip() == SENTENCE
    assert events[-1]["details"]["sources"]


def test_an_openapi_document_describes_every_route(served):
    paths = httpx.get(f"{served.url}/openapi.json").json()["paths"]
    assert {"/openai/v1/chat/completions", "/v2/models/{name}/infer", "/v2/health/ready", "/metrics"} <= paths.keys()


def test_openai_errors_name_the_field(client):
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="ada-quill", messages=MESSAGES, temperature=9)
    assert wrong.value.body["param"] == "temperature" and wrong.value.body["type"] == "invalid_request_error"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    assert unknown.value.body["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("path", "body", "status", "names"),
    [
        ("/v1/models/ada-quill:predict", {"instances": []}, 400, "instances"),
        ("/v1/models/ada-quill:predict", {"instances": [{"question": " "}]}, 400, "instances"),
        ("/v1/models/nobody:predict", {"instances": ["hello"]}, 404, "nobody"),
        ("/v2/models/ada-quill/infer", {"inputs": [{"name": "question"}]}, 400, "inputs.0.shape"),
        (
            "/v2/models/ada-quill/infer",
            {"inputs": [{"name": "question", "shape": [2], "datatype": "BYTES", "data": ["one"]}]},
            400,
            "inputs.question.shape",
        ),
        (
            "/v2/models/ada-quill/infer",
            {"inputs": [{"name": "question", "shape": [1], "datatype": "FP32", "data": [1.5]}]},
            400,
            "datatype",
        ),
        ("/v2/models/ada-quill/generate", {"text_input": ""}, 400, "text_input"),
        ("/openai/v1/rag", {"query": "what", "k": 0}, 400, "k"),
        ("/openai/v1/embeddings", {"input": [3]}, 400, "input.0"),
    ],
)
def test_bad_input_is_named_in_the_protocols_own_form(served, path, body, status, names):
    response = httpx.post(served.url + path, json=body, timeout=60)
    error = response.json()["error"]
    assert response.status_code == status
    if path.startswith("/openai"):
        assert error["param"] == names
    else:
        assert names in error


def test_a_request_id_goes_through_and_comes_back(served):
    response = httpx.post(
        f"{served.url}/openai/v1/rag", json={"query": QUESTION}, headers={"x-request-id": "mine-1"}, timeout=60
    )
    assert response.headers["x-request-id"] == "mine-1"
