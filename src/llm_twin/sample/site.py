"""Serve the sample author's blog and newsletter on loopback, chosen by the Host header."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from urllib.parse import parse_qs, unquote, urlsplit

DATA_DIR = Path(__file__).parent / "data"
SITES = {"fenwick.example": "blog", "theslowgauge.example": "newsletter"}
CONTENT_TYPES = {".html": "text/html", ".xml": "application/xml", ".json": "application/json"}
CONTENT_TYPES |= {".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}


def find_file(root: Path, url_path: str) -> Path | None:
    """Return the file for a URL path: as named, as an index, or with its suffix left off."""
    root = root.resolve()
    if "\0" in url_path or not (wanted := (root / url_path.lstrip("/")).resolve()).is_relative_to(root):
        return None
    suffixed = [Path(f"{wanted}{s}") for s in (".html", ".xml", ".json")] if wanted != root else []
    return next((c for c in (wanted, wanted / "index.html", *suffixed) if c.is_file()), None)


def page_of(body: bytes, query: str) -> bytes:
    """Cut a JSON list to the ``offset`` and ``limit`` asked for, as the newsletter's archive does."""
    asked = {k: int(v[0]) for k, v in parse_qs(query).items() if v[0].isdecimal()}
    if not asked.keys() & {"offset", "limit"}:
        return body
    items, start = json.loads(body), asked.get("offset", 0)
    return json.dumps(items[start : start + asked.get("limit", len(items))]).encode()


class SiteHandler(BaseHTTPRequestHandler):
    """Answer GET and HEAD from the folder of the site that the Host header names."""

    protocol_version = "HTTP/1.1"
    data_dir = DATA_DIR

    def do_GET(self) -> None:
        """Send the page, 304 when the reader's copy is current, or 404."""
        site = SITES.get(self.headers.get("Host", "").rsplit(":", 1)[0].lower())
        url = urlsplit(self.path)
        path = find_file(self.data_dir / site, unquote(url.path)) if site else None
        if path is None:
            return self._send(HTTPStatus.NOT_FOUND, b"Not found\n", {"Content-Type": "text/plain"})
        body, modified = path.read_bytes(), int(path.stat().st_mtime)
        if path.suffix == ".json":
            body = page_of(body, url.query)
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            "Content-Type": CONTENT_TYPES.get(path.suffix, "text/plain") + "; charset=utf-8",
            "ETag": etag,
            "Last-Modified": formatdate(modified, usegmt=True),
        }
        if self._is_current(etag, modified):
            return self._send(HTTPStatus.NOT_MODIFIED, b"", headers)
        return self._send(HTTPStatus.OK, body, headers)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the reader logs its own requests."""

    def _is_current(self, etag: str, modified: int) -> bool:
        """Tell whether the request's validators match; If-None-Match outranks the date."""
        if tags := self.headers.get("If-None-Match"):
            return bool({etag, "*"} & {t.strip().removeprefix("W/") for t in tags.split(",")})
        try:
            since = parsedate_to_datetime(self.headers.get("If-Modified-Since", ""))
        except ValueError:
            return False
        return modified <= since.timestamp()

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        """Send one whole answer; HEAD gets its headers alone."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serve(data_dir: Path = DATA_DIR, port: int = 0) -> Iterator[str]:
    """Serve the sites on 127.0.0.1 (port 0: a free one) for the length of the block."""
    handler = type("BoundHandler", (SiteHandler,), {"data_dir": Path(data_dir)})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m llm_twin.sample.site", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (0: a free one)")
    parser.add_argument("--data", type=Path, default=DATA_DIR, help="folder holding the sites")
    args = parser.parse_args()
    with serve(args.data, args.port) as base_url:
        print(f"Serving {', '.join(SITES)} on {base_url} (Ctrl-C stops)", flush=True)
        with suppress(KeyboardInterrupt):
            Event().wait()
