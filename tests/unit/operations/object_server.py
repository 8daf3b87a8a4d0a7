"""As much of S3 and of Qdrant's snapshot interface as operations use, over HTTP on loopback."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Store:
    """What the server holds."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.snapshots: dict[str, dict[str, bytes]] = {"chunks": {}, "notes": {}}
        self.refuse = 0  # so many requests get a 503 first


@contextlib.contextmanager
def serve(store: Store) -> Iterator[str]:
    """Serve `store`; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"", kind: str = "application/xml", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", headers.pop("length", str(len(body))))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def place(self) -> tuple[str, str, dict[str, list[str]]]:
            parts = urlsplit(self.path)
            bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
            return bucket, key, parse_qs(parts.query)

        def read(self) -> bytes:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                raise NotImplementedError
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if "aws-chunked" in self.headers.get("Content-Encoding", ""):
                size, _, rest = body.partition(b"\r\n")
                return rest[: int(size.split(b";")[0], 16)]
            return body

        def do_PUT(self) -> None:
            if store.refuse:
                store.refuse -= 1
                self.read()
                return self.answer(503)
            bucket, key, _ = self.place()
            if key:
                store.buckets[bucket][key] = self.read()
            else:
                self.read()
                store.buckets.setdefault(bucket, {})
            return self.answer(200, ETag='"x"')

        def do_HEAD(self) -> None:
            bucket, key, _ = self.place()
            found = store.buckets.get(bucket, {}).get(key)
            self.answer(404 if found is None else 200, length=str(len(found or b"")), ETag='"x"')

        def do_GET(self) -> None:
            bucket, key, query = self.place()
            if bucket == "collections":
                return self.qdrant_get(key)
            if not bucket:
                names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in store.buckets)
                text = f"<ListAllMyBucketsResult><Buckets>{names}</Buckets></ListAllMyBucketsResult>"
                return self.answer(200, text.encode())
            if key:
                return self.answer(200, store.buckets[bucket][key], "application/octet-stream", ETag='"x"')
            prefix = query.get("prefix", [""])[0]
            keys = sorted(k for k in store.buckets[bucket] if k.startswith(prefix))
            listed = "".join(f"<Contents><Key>{k}</Key><Size>1</Size></Contents>" for k in keys)
            text = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            return self.answer(200, text.encode())

        def do_DELETE(self) -> None:
            bucket, key, _ = self.place()
            if bucket == "collections":
                name, _, snapshot = key.partition("/snapshots/")
                del store.snapshots[name][snapshot]
                return self.answer(200, b'{"result": true}', "application/json")
            store.buckets[bucket].pop(key, None)
            return self.answer(204)

        def do_POST(self) -> None:
            name = self.place()[1].removesuffix("/snapshots")
            self.read()
            store.snapshots[name]["one.snapshot"] = f"vectors of {name}".encode()
            self.answer(200, b'{"result": {"name": "one.snapshot"}}', "application/json")

        def qdrant_get(self, key: str) -> None:
            if self.headers.get("api-key") != "secret":
                return self.answer(401)
            if not key:
                names = [{"name": name} for name in store.snapshots]
                body = json.dumps({"result": {"collections": names}}).encode()
                return self.answer(200, body, "application/json")
            name, _, snapshot = key.partition("/snapshots/")
            return self.answer(200, store.snapshots[name][snapshot], "application/octet-stream")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
