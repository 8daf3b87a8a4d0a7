"""A collector of OpenTelemetry spans on loopback, which keeps what is posted to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.http_server import running


@contextmanager
def running_collector() -> Iterator[tuple[str, list[bytes]]]:
    """Its URL, and the bodies that have come so far."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/traces":
                bodies.append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *parts: object) -> None:
            pass

    with running(Collector) as url:
        yield url, bodies
