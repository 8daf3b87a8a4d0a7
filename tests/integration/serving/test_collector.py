"""A server that is told of a collector sends it each request, the last ones when it ends."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tests.integration.serving.test_load import CHAT, passing_through

pytestmark = pytest.mark.timeout(600)


def test_spans_reach_the_collector_under_the_answers_id(tmp_path, monkeypatch):
    bodies = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *parts):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with passing_through(tmp_path) as (process, port):
        asked = {"model": "m", "messages": [{"role": "user", "content": "go on"}]}
        answer = httpx.post(f"http://127.0.0.1:{port}{CHAT}", json=asked, timeout=60).json()
        process.terminate()
        process.wait(60)
    server.shutdown()
    server.server_close()
    assert any(bytes.fromhex(answer["twin"]["trace_id"]) in body for body in bodies)
