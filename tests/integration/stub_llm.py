"""A small OpenAI-compatible server on loopback that misbehaves on schedule: one request in five fails in some way."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("timeout", "429", "broken JSON", "wrong fields", "empty")
TIMEOUT_SECONDS = 2.0  # longer than what the tests wait

Answer = Callable[[str], dict[str, Any]]  # the first user message → the object to reply with


class StubLlm:
    """What the server was asked and how it answered; `fault_every` 0 never fails."""

    def __init__(self, answer: Answer, fault_every: int = 5) -> None:
        self.answer = answer
        self.fault_every = fault_every
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()
        self.url = ""

    def next_fault(self) -> str:
        """The fault of the request that has just come in, or none."""
        with self.lock:
            self.requests += 1
            if not self.fault_every or self.requests % self.fault_every:
                return ""
            fault = FAULTS[self.requests // self.fault_every % len(FAULTS)]
            self.faults[fault] += 1
            return fault


@contextmanager
def stub_llm(answer: Answer, fault_every: int = 5) -> Iterator[StubLlm]:
    """Serve on a free port for as long as the context is open."""
    stub = StubLlm(answer, fault_every)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.in_flight += 1
                stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
            try:
                self._reply(body, stub.next_fault())
            finally:
                with stub.lock:
                    stub.in_flight -= 1

        def _reply(self, body: dict[str, Any], fault: str) -> None:
            if fault == "timeout":
                time.sleep(TIMEOUT_SECONDS)
            if fault == "429":
                self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.05"})
                return
            text = json.dumps(stub.answer(next(m["content"] for m in body["messages"] if m["role"] == "user")))
            text = {"broken JSON": text[: len(text) // 2], "wrong fields": '{"other": 1}', "empty": ""}.get(fault, text)
            message = {"role": "assistant", "content": text}
            self._send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60},
                },
            )

        def _send(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            payload = json.dumps(content).encode()
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client gave up waiting

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
