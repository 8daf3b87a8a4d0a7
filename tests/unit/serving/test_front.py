"""The front, without any server: who is let in, and what each route needs."""

from __future__ import annotations

import asyncio
import json

import pytest

from llm_twin.serving.access import Gatekeeper, make_key, write_keys
from llm_twin.serving.front import Front, Route


def call(front, method, path, **headers):
    """Send one request through the front; returns status, headers and body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "client": ("127.0.0.1", 1)}
    asyncio.run(front(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])


async def reached(call):
    await call.send_json({"twins": call.state.get("twins")})


async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


ROUTES = [
    Route("POST", "/openai/v1/chat/completions", reached, "openai", "ask"),
    Route("POST", "/v2/models/{name}/infer", reached, "kserve", "ask"),
    Route("GET", "/healthz", reached, "page", "live", scope=""),
]


@pytest.fixture
def keyed(tmp_path):
    shown, kept = make_key("reader", ["ada"], ["ask"], 100, 100)
    write_keys(tmp_path / "keys.json", [kept])
    return Front(ROUTES, inner, Gatekeeper(tmp_path / "keys.json")), shown


def test_without_a_key_every_route_but_health_is_shut(keyed):
    front, _ = keyed
    for method, path in (
        ("POST", "/openai/v1/chat/completions"),
        ("POST", "/v2/models/ada/infer"),
        ("GET", "/metrics"),
    ):
        status, headers, _ = call(front, method, path)
        assert status == 401 and headers[b"www-authenticate"] == b"Bearer", path
    assert call(front, "GET", "/healthz")[0] == 200
    assert call(front, "GET", "/v2/health/ready")[0] == 299


def test_a_key_opens_its_routes_and_hands_on_what_it_allows(keyed):
    front, shown = keyed
    status, _, body = call(front, "POST", "/openai/v1/chat/completions", authorization=f"Bearer {shown}")
    assert status == 200 and json.loads(body) == {"twins": ["ada"]}
    for path in ("/v2/repository/models/ada/unload", "/v2/models/other"):
        assert call(front, "POST", path, authorization=f"Bearer {shown}")[0] == 403


def test_models_cannot_be_unloaded_by_anyone_where_no_keys_are():
    assert call(Front(ROUTES, inner), "POST", "/v2/repository/models/ada/unload")[0] == 403


def test_errors_have_the_form_of_the_protocol(keyed):
    front, _ = keyed
    assert "message" in json.loads(call(front, "POST", "/openai/v1/chat/completions")[2])["error"]
    assert isinstance(json.loads(call(front, "POST", "/v2/models/ada/infer")[2])["error"], str)


def test_too_many_at_once_get_503_with_retry_after():
    front = Front(ROUTES, inner, Gatekeeper(max_in_flight=2))
    front.in_flight = 2
    status, headers, _ = call(front, "POST", "/openai/v1/chat/completions")
    assert status == 503 and int(headers[b"retry-after"]) >= 1 and front.in_flight == 2


def test_only_named_origins_may_read():
    front = Front(ROUTES, inner, origins=["https://a.example"])
    asked = {"origin": "https://a.example", "access_control_request_method": "POST"}
    status, headers, _ = call(front, "OPTIONS", "/openai/v1/chat/completions", **asked)
    assert status == 204 and headers[b"access-control-allow-origin"] == b"https://a.example"
    _, headers, _ = call(front, "POST", "/openai/v1/chat/completions", origin="https://b.example")
    assert b"access-control-allow-origin" not in headers
