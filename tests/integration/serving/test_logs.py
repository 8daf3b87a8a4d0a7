"""One request's id through the logs of a real run: front, KServe's model, predictor client, predictor; and no text."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager

import httpx
import pytest

from llm_twin.errors import StoreError
from llm_twin.logs import ContextPool, JsonLines, describe_error, request_id
from llm_twin.serving.access import make_key, write_keys
from tests.integration.serving import overfitted_twin as small
from tests.integration.serving.parts import eventually
from tests.integration.serving.test_operations import CHAT, transformer
from tests.integration.serving.test_poisoned import gullible

pytestmark = pytest.mark.timeout(600)
ODD = "xylomarimba"


def read_lines(path, known):
    """The lines of a log with the request's id."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("request_id") == known]


def ask(served, path, body, known):
    response = httpx.post(served.url + path, json=body, headers={"x-request-id": known}, timeout=120)
    assert response.headers["x-request-id"] == known
    return response


def test_one_id_leads_through_every_hop_and_no_text_is_logged(served, folder):
    front, behind = folder / "logs" / "transformer.log", folder / "logs" / "predictor.log"
    question = f"{small.FACTS[0][0]} {ODD}"
    tensor = {"name": "question", "shape": [1], "datatype": "BYTES", "data": [question]}
    chat = {"model": "ada-quill", "messages": [{"role": "user", "content": question}]}
    for known, path, body in [
        ("hop-v2.1", "/v2/models/ada-quill/infer", {"inputs": [tensor]}),
        ("hop-chat.1", CHAT, {**chat, "max_tokens": 41}),  # another answer than the one in the cache
        ("hop-stream.1", CHAT, {**chat, "max_tokens": 42, "stream": True}),
    ]:
        assert ask(served, path, body, known).status_code == 200
        eventually(
            lambda known=known: read_lines(behind, known) and read_lines(front, known)[-1]["message"] == "request"
        )
        mine = read_lines(front, known)
        messages = [line["message"] for line in mine]
        kserve = ["kserve predict"] if "v2" in known else []
        assert messages == [*kserve, "predictor asked", "request"]
        assert {line["process"] for line in mine} == {"transformer"}
        assert (mine[-1]["status"], mine[-1]["model"]) == (200, "ada-quill") and mine[-1]["seconds"] > 0
        (there,) = read_lines(behind, known)
        assert (there["process"], there["route"], there["status"]) == ("predictor", "/v1/chat/completions", 200)
        assert there["model"] == "first" and there["written"] > 0

    refused = ask(served, f"/{ODD}", {}, "hop-nowhere.1")
    wrong = ask(served, "/v1/models/ada-quill:predict", {"instances": [{"question": [ODD]}]}, "hop-wrong.1")
    assert (refused.status_code, wrong.status_code) == (404, 400)
    eventually(lambda: read_lines(front, "hop-wrong.1"))
    assert [line["status"] for line in read_lines(front, "hop-wrong.1")] == [400]
    assert [line["status"] for line in read_lines(front, "hop-nowhere.1")] == [404]  # it was KServe's to answer
    for log in (front, behind):
        assert ODD not in log.read_text() and "rapeseed" not in log.read_text()


def test_a_predictor_that_is_away_leaves_no_text_and_no_secret(folder, vectors, served):
    keys = folder / "log-keys.json"
    shown, kept = make_key("reader", None, ["ask"], 100, 100)
    write_keys(keys, [kept])
    with predictor_that_ends(folder, vectors, keys) as (url, log):
        headers = {"authorization": f"Bearer {shown}", "x-request-id": "hop-away.1"}
        body = {"model": "ada-quill", "messages": [{"role": "user", "content": f"{small.FACTS[0][0]} {ODD}"}]}
        answer = httpx.post(url + CHAT, json=body, headers=headers, timeout=60).json()
        assert answer["twin"]["status"] == "extracted"
        eventually(
            lambda: read_lines(log, "hop-away.1")[-1:] and read_lines(log, "hop-away.1")[-1]["message"] == "request"
        )
        asked, whole = read_lines(log, "hop-away.1")
        assert (asked["message"], asked["status"], asked["level"]) == ("predictor asked", 0, "warning")
        assert whole["key"] == kept.id and whole["status"] == 200
        text = log.read_text()
        assert ODD not in text and shown not in text and shown.rsplit("_", 1)[1] not in text


@contextmanager
def predictor_that_ends(folder, vectors, keys):
    """A transformer whose predictor has gone since it became ready."""
    with gullible() as (predictor_url, _):
        entered = transformer(folder, predictor_url, vectors, "--keys", str(keys))
        url, _ = entered.__enter__()
    try:
        yield url, folder / f"transformer-{url.rsplit(':', 1)[1]}.log"
    finally:
        entered.__exit__(None, None, None)


def test_lines_hide_keys_and_passwords_and_what_exceptions_quote():
    def line(message, error=None, **extra):
        record = logging.LogRecord("llm_twin.x", logging.ERROR, __file__, 1, message, (), None)
        record.__dict__.update(extra)
        if error is not None:
            try:
                raise error
            except type(error) as raised:
                record.exc_info = (type(raised), raised, raised.__traceback__)
        return JsonLines("test").format(record)

    shown, _ = make_key("reader", None, ["ask"], 1, 1)
    secret = shown.rsplit("_", 1)[1]
    for message in (f"key {shown}", f"Authorization: Bearer {secret}", f"at postgresql://mlflow:{secret}@db/x"):
        assert secret not in line(message)
    told = json.loads(line("request failed", KeyError(ODD), request_id="r1", fields={"status": 500}))
    assert (told["request_id"], told["status"], told["error"]["type"]) == ("r1", 500, "KeyError")
    assert ODD not in json.dumps(told) and any("test_logs.py" in frame for frame in told["error"]["frames"])
    assert describe_error(StoreError("the index is away"))["message"] == "the index is away"


def test_threads_of_the_pool_log_with_the_id_of_their_request():
    with ContextPool(1) as pool:
        token = request_id.set("r2")
        inside = pool.submit(request_id.get)
        request_id.reset(token)
        outside = pool.submit(request_id.get)
    assert (inside.result(), outside.result()) == ("r2", "")
