"""The twin as it is served: predictor, index and transformer as processes, asked over every protocol."""

from __future__ import annotations

import time

import httpx

from llm_twin.serving.probe import ask_both_protocols, ask_v2, read_answer
from llm_twin.tracing import read_traces
from tests.integration.serving import overfitted_twin as small


def ask(client, question, **extra):
    return client.chat.completions.create(model="ada-quill", messages=[{"role": "user", "content": question}], **extra)


def answer_of(question, completion):
    return read_answer(question, completion.choices[0].message.content, completion.model_extra["twin"])


def test_supported_answers_are_generated_and_swapping_the_adapter_changes_them(client):
    first, second = [], []
    for question, *_ in small.FACTS:
        first.append(answer_of(question, ask(client, question, extra_body={"twin": {"variant": "sft"}})))
        second.append(answer_of(question, ask(client, question, extra_body={"twin": {"variant": "dpo"}})))
    assert sum(answer.status == "generated" for answer in first) >= 8
    assert sum(answer.status == "generated" for answer in second) >= 8
    assert sum(one.text != other.text for one, other in zip(first, second, strict=True)) >= 8
    for answer in first:
        if answer.status == "generated":
            assert all(sentence.supported and sentence.citations for sentence in answer.sentences)
            assert answer.sources[0].url.startswith("https://quill.example/")


def test_citations_point_at_the_exact_characters(client):
    question, _, sentence, _ = small.FACTS[2]
    answer = answer_of(question, ask(client, question))
    cited = answer.sentences[0].citations[0]
    assert small.make_chunk(2).text[cited.start : cited.end] == cited.quote
    assert sentence in cited.quote


def test_what_the_sources_do_not_support_is_replaced_by_an_extract(client):
    question = small.FACTS[0][0]
    wild = ask(client, question, temperature=2.0, seed=1, max_tokens=40)
    answer = answer_of(question, wild)
    assert answer.status == "extracted"
    passage = small.make_chunk(0).text
    assert answer.sentences and all(sentence.text in passage for sentence in answer.sentences)


def test_what_the_author_never_wrote_about_is_refused(client):
    question = "What is the boiling point of tungsten hexafluoride in kelvin?"
    answer = answer_of(question, ask(client, question))
    assert answer.status == "refused" and not answer.sources


def test_both_protocols_say_the_same_and_that_it_is_a_twin(served, client):
    question = small.FACTS[4][0]
    over_v2, over_openai = ask_both_protocols(served, [question])
    assert over_v2.text == over_openai.text and over_v2.status == over_openai.status == "generated"
    assert "not Ada Quill" in ask(client, question).model_extra["twin"]["disclosure"]
    assert over_v2.seconds.keys() >= {"retrieve", "generate", "check", "whole"}


def test_a_stream_holds_the_same_text_then_the_sources(client):
    question, _, sentence, _ = small.FACTS[1]
    events = list(ask(client, question, stream=True, stream_options={"include_usage": True}))
    text = "".join(e.choices[0].delta.content or "" for e in events if e.choices)
    last = next(e for e in events if e.choices and e.choices[0].finish_reason)
    assert text.strip() == sentence
    assert last.model_extra["twin"]["status"] == "generated" and last.model_extra["twin"]["sources"]
    assert events[-1].usage.completion_tokens > 0


def test_every_request_is_traced(served, folder):
    answer = ask_v2(served.url, "ada-quill", small.FACTS[7][0])
    limit = time.monotonic() + 150
    found = None
    while found is None and time.monotonic() < limit:
        traces = read_traces(f"sqlite:///{folder}/mlflow/mlflow.db", author="ada-quill")
        found = next((trace for trace in traces if trace.trace_id == answer.trace_id), None)
        time.sleep(0.5)
    assert found is not None and found.query == small.FACTS[7][0] and found.status == answer.status
    assert {hop.name for hop in found.hops} >= {"retrieve", "generate", "check"} and found.hits


def test_it_listens_on_loopback_only(served):
    import psutil

    port = int(served.url.rsplit(":", 1)[1])
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
    assert listening == {"127.0.0.1"}


def test_kserve_v1_health_and_the_page(served):
    body = {"instances": [small.FACTS[3][0], {"question": small.FACTS[5][0], "max_tokens": 30}]}
    predictions = httpx.post(f"{served.url}/v1/models/ada-quill:predict", json=body, timeout=60).json()["predictions"]
    assert [p["status"] for p in predictions] == ["generated", "generated"]
    for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/ada-quill/ready"):
        assert httpx.get(served.url + path).status_code == 200, path
    page = httpx.get(served.url + "/")
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
