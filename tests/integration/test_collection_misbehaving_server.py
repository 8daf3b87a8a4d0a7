"""A server that does all the wrong things: the crawl ends, the good pages are there, the bad ones have a reason."""

from __future__ import annotations

import asyncio
import gzip
import resource
import threading
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_twin.collection.collect import collect
from llm_twin.collection.http import Fetcher, FetchError
from llm_twin.documents import Author
from llm_twin.recipes import CollectionRecipe, SourceRecipe
from llm_twin.stores.warehouse import Warehouse
from tests.integration.warehouse_process import running_warehouse

HOST = "bad.example"
SENTENCES = [
    "The {n}th gauge was read by hand every morning, and the number went into a book.",
    "Nobody asked the keeper of gauge {n} whether the number was right; they asked whether it was there.",
    "When the pen of gauge {n} ran dry, he sharpened a pencil, wrote the time, and went on.",
]


def make_page(n: int) -> bytes:
    custom = "It was the custom — “and a good one” — said the man."
    paragraphs = "".join(f"<p>{sentence.format(n=n)} {custom}</p>" for sentence in SENTENCES * 3)
    published = f"<meta property='article:published_time' content='2024-01-{n % 28 + 1:02}T08:00:00Z'>"
    body = f"<article><h1>Gauge {n}</h1>{paragraphs}</article>"
    return f"<html lang='en'><head><title>Gauge {n}</title>{published}</head><body>{body}</body></html>".encode()


GOOD = [f"/good/{n}" for n in range(12)]
BAD = {
    "/bad/500": "http-500",
    "/bad/429-forever": "rate-limited",
    "/bad/hang": "timeout",
    "/bad/drip": "timeout",
    "/bad/loop": "redirect-loop",
    "/bad/endless": "redirect-loop",
    "/bad/private": "private-address",
    "/bad/metadata": "private-address",
    "/bad/file": "not-http",
    "/bad/truncated": "truncated",
    "/bad/cut": "truncated",
    "/bad/garbage-gzip": "bad-encoding",
    "/bad/bomb": "too-large",
    "/bad/huge": "too-large",
    "/bad/bot-check": "bot-check",
    "/bad/empty": "empty",
    "/bad/image": "not-html",
    "/bad/404": "http-404",
    "/bad/forbidden": "http-403",
    "/bad/robots-says-no": "robots",
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: dict[str, int] = {}
    stop = threading.Event()

    def log_message(self, *arguments: object) -> None:
        pass

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": "text/html", "content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        try:
            self.answer(self.path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, path: str) -> None:
        count = Handler.seen[path] = Handler.seen.get(path, 0) + 1
        if path == "/robots.txt":
            self.send(200, b"User-agent: *\nDisallow: /bad/robots-says-no\n", content_type="text/plain")
        elif path == "/feed.xml":
            links = [*GOOD[:6], *BAD, *GOOD[6:], "/flaky", "/flaky-429", "/latin", "/claims-latin"]
            items = "".join(f"<item><title>x</title><link>https://{HOST}{link}</link></item>" for link in links)
            feed = f"<rss version='2.0'><channel><title>Bad</title><link>https://{HOST}/</link>{items}</channel></rss>"
            self.send(200, feed.encode(), content_type="application/rss+xml")
        elif path == "/broken.xml":
            self.send(200, b"<rss><channel><item><title>a</title", content_type="application/rss+xml")
        elif path.startswith("/good/"):
            if self.headers.get("if-none-match") == f'"{path}"':
                self.send(304, etag=f'"{path}"')
            else:
                self.send(200, make_page(int(path.split("/")[-1])), etag=f'"{path}"')
        elif path == "/flaky":
            self.send(200, make_page(90)) if count > 2 else self.send(503)
        elif path == "/flaky-429":
            self.send(200, make_page(91)) if count > 1 else self.send(429, retry_after="1")
        elif path == "/latin":
            page = make_page(92).decode().replace("—", "é").replace("“", "ü").replace("”", "ß")
            self.send(200, page.encode("iso-8859-1"), content_type="text/html; charset=iso-8859-1")
        elif path == "/claims-latin":  # UTF-8 in truth
            self.send(200, make_page(93), content_type="text/html; charset=iso-8859-1")
        else:
            self.misbehave(path)

    def misbehave(self, path: str) -> None:
        name = path.removeprefix("/bad/")
        if name == "500":
            self.send(500)
        elif name == "429-forever":
            self.send(429, retry_after="3600")
        elif name == "hang":
            Handler.stop.wait(30)
        elif name == "drip":
            self.send_response(200)
            self.send_header("content-length", "100000")
            self.end_headers()
            while not Handler.stop.wait(0.2):
                self.wfile.write(b"<p>")
        elif name == "loop":
            self.send(302, location="/bad/loop")
        elif name.startswith("endless"):
            self.send(302, location=f"/bad/endless{len(name)}{'x' * len(name)}"[:200])
        elif name == "private":
            self.send(302, location="http://127.0.0.1:9/secret")
        elif name == "metadata":
            self.send(301, location="http://169.254.169.254/latest/meta-data/")
        elif name == "file":
            self.send(302, location="file:///etc/passwd")
        elif name == "truncated":
            body = gzip.compress(make_page(1))
            self.send(200, body[: len(body) // 2], content_encoding="gzip")
        elif name == "cut":
            self.send_response(200)
            self.send_header("content-length", "90000")
            self.end_headers()
            self.wfile.write(make_page(1))
            self.close_connection = True
        elif name == "garbage-gzip":
            self.send(200, b"this is no gzip" * 50, content_encoding="gzip")
        elif name == "bomb":
            self.send_bomb(10_000)
        elif name == "huge":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            piece = b"<p>word</p>" * 10_000
            for _ in range(1000):  # 110 MB, were anybody to read it
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif name == "bot-check":
            self.send(200, b"<html><head><title>Just a moment...</title></head><body>Checking</body></html>")
        elif name == "empty":
            self.send(200, b"  \n")
        elif name == "image":
            self.send(200, b"\x89PNG", content_type="image/png")
        elif name == "forbidden":
            self.send(403)
        else:
            self.send(404)

    def send_bomb(self, megabytes: int) -> None:
        """A gzip stream of so many megabytes of zeros, a thousandth of that on the wire."""
        self.send_response(200)
        self.send_header("content-encoding", "gzip")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        zeros = bytes(1_000_000)
        for _ in range(megabytes):
            piece = packer.compress(zeros)
            if piece:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    Handler.stop.set()
    server.shutdown()


def recipe_for(port: int, *locations: str) -> CollectionRecipe:
    return CollectionRecipe(
        sources=[SourceRecipe(location=location) for location in locations],
        connect_to={HOST: f"http://127.0.0.1:{port}"},
        requests_per_second=500,
        timeout_seconds=2,
        max_page_bytes=2_000_000,
        max_failed_share=1,
    )


def test_every_good_page_is_there_and_every_bad_one_named(port: int, tmp_path: Path) -> None:
    recipe = recipe_for(port, f"https://{HOST}/feed.xml")
    with running_warehouse(tmp_path) as where, Warehouse.connect(*where) as warehouse:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.monotonic()
        collected = collect(Author(id="ada", name="Ada"), recipe, warehouse)
        seconds = time.monotonic() - begun
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        reasons = {f.url.removeprefix(f"https://{HOST}"): f.reason for f in collected.failures}
        assert reasons == BAD
        urls = {d.url.removeprefix(f"https://{HOST}"): d for d in warehouse.current_documents("ada")}
        assert set(urls) == {*GOOD, "/flaky", "/flaky-429", "/latin", "/claims-latin"}
        assert "custom é ünd".replace("nd", "and") in urls["/latin"].text
        assert "custom — “and a good one” —" in urls["/claims-latin"].text
        assert urls["/good/3"].title == "Gauge 3"
        assert urls["/good/3"].published is not None and urls["/good/3"].published.day == 4
        assert seconds < 90
        assert grown_mb < 300
        listed = {item["url"].removeprefix(f"https://{HOST}"): item["reason"] for item in warehouse.list_quarantine()}
        assert listed == BAD
        again = collect(Author(id="ada", name="Ada"), recipe, warehouse)
        assert again.snapshot == collected.snapshot
        assert again.counts["unchanged"] == len(urls) and not again.counts["changed"]


def test_an_invalid_feed_is_a_named_failure(port: int, tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as where, Warehouse.connect(*where) as warehouse:
        collected = collect(Author(id="ada", name="Ada"), recipe_for(port, f"https://{HOST}/broken.xml"), warehouse)
    assert "invalid-feed" in {f.reason for f in collected.failures}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/good/1",
        "http://localhost:{port}/good/1",
        "http://[::1]:{port}/good/1",
        "http://[::ffff:127.0.0.1]:{port}/good/1",
        "http://2130706433:{port}/good/1",
        "http://0.0.0.0:{port}/good/1",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/",
    ],
)
def test_private_addresses_are_refused_however_they_are_written(port: int, url: str) -> None:
    async def fetch() -> None:
        async with Fetcher(timeout_seconds=3, max_retries=0) as fetcher:
            await fetcher.get(url.format(port=port))

    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch())
    assert caught.value.reason in ("private-address", "dns")
    assert Handler.seen.get("/never") is None


def test_an_allowed_host_is_reached(port: int) -> None:
    async def fetch() -> bytes:
        async with Fetcher(timeout_seconds=5, allow_addresses=[f"127.0.0.1:{port}"]) as fetcher:
            return (await fetcher.get(f"http://127.0.0.1:{port}/good/1")).body

    assert b"Gauge 1" in asyncio.run(fetch())


def test_requests_are_paced(port: int) -> None:
    async def fetch() -> float:
        async with Fetcher(connect_to={HOST: f"http://127.0.0.1:{port}"}, requests_per_second=10) as fetcher:
            begun = time.monotonic()
            await asyncio.gather(*(fetcher.get(f"https://{HOST}/good/{n}") for n in range(8)))
            return time.monotonic() - begun

    assert asyncio.run(fetch()) >= 0.7
