"""A small OpenAI-compatible server on loopback that misbehaves on schedule: one request in five fails in some way."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("timeout", "429", "broken JSON", "wrong fields", "empty")
REFUSALS = ("refused in words", "refused in its field", "filtered")
NONSENSE = "The tide, the tide, grade grade purple."
TIMEOUT_SECONDS = 2.0  # longer than what the tests wait

Answer = Callable[[str], dict[str, Any]]  # the first user message → the object to reply with


class StubLlm:
    """What the server was asked and how it answered; `fault_every` 0 never fails, `faults` come in turn.

    With `fails` the prompt decides and not the count, so that a question fails however often it is asked.
    """

    def __init__(
        self,
        answer: Answer,
        fault_every: int = 5,
        faults: tuple[str, ...] = FAULTS,
        fails: Callable[[str], bool] | None = None,
    ) -> None:
        self.answer = answer
        self.fault_every = fault_every
        self.kinds = faults
        self.fails = fails
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.url = ""

    def next_fault(self, prompt: str) -> str:
        """The fault of the request that has just come in, or none."""
        with self.lock:
            self.requests += 1
            spared = not self.fault_every or self.requests % self.fault_every
            if not self.fails(prompt) if self.fails else spared:
                return ""
            fault = self.kinds[self.requests // self.fault_every % len(self.kinds)]
            self.faults[fault] += 1
            return fault


def first_prompt(body: dict[str, Any]) -> str:
    """The first user message of a request."""
    return str(next(m["content"] for m in body["messages"] if m["role"] == "user"))


@contextmanager
def stub_llm(
    answer: Answer,
    fault_every: int = 5,
    faults: tuple[str, ...] = FAULTS,
    fails: Callable[[str], bool] | None = None,
) -> Iterator[StubLlm]:
    """Serve on a free port for as long as the context is open."""
    stub = StubLlm(answer, fault_every, faults, fails)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.endswith("/models"):
                self._send(200, {"object": "list", "data": [{"id": "big", "object": "model"}]})
            else:
                self._send(404, {"error": {"message": "not found"}})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stub.lock:
                stub.in_flight += 1
                stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
            try:
                self._reply(body, stub.next_fault(first_prompt(body)))
            finally:
                with stub.lock:
                    stub.in_flight -= 1

        def _reply(self, body: dict[str, Any], fault: str) -> None:
            if fault == "timeout":
                time.sleep(TIMEOUT_SECONDS)
            if fault == "silence":
                stub.closing.wait(60)
            if fault == "429":
                self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": "0.05"})
                return
            text = json.dumps(stub.answer(first_prompt(body)))
            spoilt = {
                "refused in words": "I\u2019m sorry, but I can't grade this text.", "refused in its field": "",
                "filtered": "", "nonsense": NONSENSE,
            }  # fmt: skip
            text = spoilt.get(fault, text)
            text = {"broken JSON": text[: len(text) // 2], "wrong fields": '{"other": 1}', "empty": ""}.get(fault, text)
            message = {"role": "assistant", "content": text}
            if fault == "refused in its field":
                message["refusal"] = "this is not something to grade"
            finish = "content_filter" if fault == "filtered" else "stop"
            self._send(
                200,
                {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [{"index": 0, "message": message, "finish_reason": finish}],
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

        def handle(self) -> None:
            with suppress(ConnectionResetError):  # a client that gave up waiting
                super().handle()

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
        stub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
