"""A server that is told of a collector sends it each request, the last ones when it ends."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.serving.test_load import CHAT, passing_through
from tests.span_collector import running_collector

pytestmark = pytest.mark.timeout(600)


def test_spans_reach_the_collector_under_the_answers_id(tmp_path, monkeypatch):
    with running_collector() as (url, bodies):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with passing_through(tmp_path) as (process, port):
            asked = {"model": "m", "messages": [{"role": "user", "content": "go on"}]}
            answer = httpx.post(f"http://127.0.0.1:{port}{CHAT}", json=asked, timeout=60).json()
            process.terminate()
            process.wait(60)
    assert any(bytes.fromhex(answer["twin"]["trace_id"]) in body for body in bodies)
