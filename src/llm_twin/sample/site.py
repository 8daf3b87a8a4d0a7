"""Serve the sample author's blog and newsletter on loopback, chosen by the Host header."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

DATA_DIR = Path(__file__).parent / "data"
SITES = {"fenwick.example": "blog", "theslowgauge.example": "newsletter"}
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".xml": "application/xml; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def find_file(root: Path, url_path: str) -> Path | None:
    """Return the file that answers a URL path: as named, as an index, or with its suffix left off."""
    if "\0" in url_path:
        return None
    root = root.resolve()
    wanted = (root / url_path.lstrip("/")).resolve()
    if not wanted.is_relative_to(root):
        return None
    suffixes = [".html", ".xml", ".json"] if wanted != root else []
    candidates = [wanted, wanted / "index.html", *(Path(f"{wanted}{s}") for s in suffixes)]
    return next((c for c in candidates if c.is_file() and c.resolve().is_relative_to(root)), None)


def page_of(body: bytes, query: str) -> bytes:
    """Cut a JSON list to the ``offset`` and ``limit`` asked for, as the newsletter's archive does."""
    asked = {k: int(v[0]) for k, v in parse_qs(query).items() if v[0].isdecimal()}
    if not asked.keys() & {"offset", "limit"}:
        return body
    items = json.loads(body)
    start = asked.get("offset", 0)
    return json.dumps(items[start : start + asked.get("limit", len(items))]).encode()


class SiteHandler(BaseHTTPRequestHandler):
    """Answer GET and HEAD from the folder of the site that the Host header names."""

    protocol_version = "HTTP/1.1"
    data_dir = DATA_DIR

    def do_GET(self) -> None:
        """Send the page, 304 when the reader's copy is current, or 404."""
        host = self.headers.get("Host", "").rsplit(":", 1)[0].lower()
        url = urlsplit(self.path)
        site = SITES.get(host)
        path = find_file(self.data_dir / site, unquote(url.path)) if site else None
        if path is None:
            self._send(HTTPStatus.NOT_FOUND, b"Not found\n", {"Content-Type": CONTENT_TYPES[".txt"]})
            return
        body = path.read_bytes()
        if path.suffix == ".json":
            body = page_of(body, url.query)
        modified = int(path.stat().st_mtime)
        headers = {
            "Content-Type": CONTENT_TYPES.get(path.suffix, "application/octet-stream"),
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "Last-Modified": formatdate(modified, usegmt=True),
        }
        if self._is_current(headers["ETag"], modified):
            self._send(HTTPStatus.NOT_MODIFIED, b"", headers)
        else:
            self._send(HTTPStatus.OK, body, headers)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: the reader logs its own requests."""

    def _is_current(self, etag: str, modified: int) -> bool:
        """Tell whether the request's validators match; If-None-Match outranks the date."""
        if tags := self.headers.get("If-None-Match"):
            known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return etag in known or "*" in known
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


def make_server(data_dir: Path = DATA_DIR, port: int = 0) -> ThreadingHTTPServer:
    """Bind the sites in ``data_dir`` to a loopback port; 0 takes a free one."""
    handler = type("BoundSiteHandler", (SiteHandler,), {"data_dir": Path(data_dir)})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


@contextmanager
def serve(data_dir: Path = DATA_DIR, port: int = 0) -> Iterator[str]:
    """Serve the sites in a thread for the length of the block, yielding the base URL."""
    server = make_server(data_dir, port)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main(argv: list[str] | None = None) -> None:
    """Run the server until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m llm_twin.sample.site", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (0: a free one)")
    parser.add_argument("--data", type=Path, default=DATA_DIR, help="folder holding the sites")
    args = parser.parse_args(argv)
    with make_server(args.data, args.port) as server:
        hosts = ", ".join(SITES)
        print(f"Serving {hosts} on http://127.0.0.1:{server.server_port} (Ctrl-C stops)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
