"""A container registry on loopback: manifests by tag behind a Bearer token, as public registries answer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def digest_of(name: str, tag: str) -> str:
    """The digest that the registry gives `name:tag`."""
    return "sha256:" + hashlib.sha256(f"{name}:{tag}".encode()).hexdigest()


@contextlib.contextmanager
def serve_registry(known: set[str], needs_token: bool = True) -> Iterator[str]:
    """Serve the images `known` (as name:tag); yields the registry's host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
            if needs_token and self.headers.get("Authorization") != f"Bearer for {name}":
                self.send_response(401)
                realm = f"http://127.0.0.1:{self.server.server_address[1]}/token"
                self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="test",scope="{name}"')
                self.end_headers()
                return
            found = f"{name}:{tag}" in known and "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self.send_response(200 if found else 404)
            if found:
                self.send_header("Docker-Content-Digest", digest_of(name, tag))
            self.end_headers()

        def do_GET(self) -> None:
            scope = self.path.partition("scope=")[2].replace("%2F", "/")
            body = json.dumps({"token": f"for {scope}"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
