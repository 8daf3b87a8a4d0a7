"""A crawl of many pages from loopback: pages a second, beside the bare extractor's, and what asking again costs."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

DESCRIPTION = "crawl pages from loopback: pages a second against the bare extractor, second crawl, cores kept busy"
HOST = "many.example"
MENU = "".join(f"<li><a href='/topic/{i}'>Topic number {i}</a></li>" for i in range(40))
ASIDE = "".join(
    f"<div class='teaser'><a href='/p/{i}'>Another piece that you may like {i}</a></div>" for i in range(25)
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--pages", type=int, default=2000)
    parser.add_argument("--bare-pages", type=int, default=200, help="pages of the bare extractor's measurement")


def make_page(n: int) -> bytes:
    """A page as blogs are: a menu, an article of some 700 words, teasers, a footer."""
    topics = ("tide", "harbour", "ledger", "gauge", "cron job", "pencil", "winter", "crew", "radio", "lamp")
    sentences = [
        f"Entry {n}.{i} is about the {topics[(n + i) % 10]} and the {topics[(n * 7 + i) % 10]}, which nobody "
        f"had looked at since page {n * 31 % 977}, and it took {i + 2} of us to see — after all — what it said."
        for i in range(24)
    ]
    body = "".join(f"<p>{sentences[i]} {sentences[i + 1]}</p>" for i in range(0, 24, 2))
    return (
        f"<!doctype html><html lang='en'><head><title>Entry {n} - Many</title>"
        f"<link rel='canonical' href='https://{HOST}/p/{n}'><meta property='og:type' content='article'>"
        f"<meta property='article:published_time' content='2024-03-{n % 28 + 1:02}T10:00:00Z'></head><body>"
        f"<nav><ul>{MENU}</ul></nav><main><article><h1>Entry {n}</h1>{body}"
        f"<h2>What came of it</h2><ul><li>First, nothing at all.</li><li>Then, in {n} days, a letter.</li></ul>"
        f"<pre><code class='language-python'>def entry():\n    return {n}\n</code></pre></article></main>"
        f"<aside>{ASIDE}</aside><footer>All rights reserved {n}</footer></body></html>"
    ).encode()


class Handler(BaseHTTPRequestHandler):
    """The site: a sitemap and its pages, with ETags."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    pages = 0

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        """A page, the sitemap, or 404."""
        name = self.path.removeprefix("/p/")
        if self.path == "/sitemap.xml":
            urls = "".join(f"<url><loc>https://{HOST}/p/{n}</loc></url>" for n in range(self.pages))
            self._send(200, f"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{urls}</urlset>".encode())
        elif self.path == "/":
            self._send(200, b"<html><head><title>Many</title></head><body><p>Entries</p></body></html>")
        elif name.isdigit() and self.headers.get("if-none-match") == f'"{name}"':
            self._send(304, b"", name)
        elif name.isdigit():
            self._send(200, make_page(int(name)), name)
        else:
            self._send(404, b"")

    def _send(self, status: int, body: bytes, tag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if tag:
            self.send_header("ETag", f'"{tag}"')
        self.end_headers()
        self.wfile.write(body)


def serve(pages: int) -> None:
    """Serve until killed; prints the port first."""
    Handler.pages = pages
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def _site(pages: int) -> Iterator[int]:
    """The site in a process of its own; yields its port."""
    code = f"from benchmarks.collection import serve; serve({pages})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def _bare(first: int) -> int:
    """The bare extractor on ten pages."""
    import trafilatura

    return sum(len(trafilatura.extract(make_page(n)) or "") for n in range(first, first + 10))


def _both(first: int) -> int:
    """Our extraction on ten pages."""
    from llm_twin.collection.extraction import extract_page

    return sum(len(extract_page(make_page(n), f"https://{HOST}/p/{n}").text) for n in range(first, first + 10))


def _rates(pages: int, workers: int) -> tuple[float, float]:
    """(pages a second of trafilatura alone, of our extraction alone) on all cores: medians of five interleaved runs."""
    firsts = list(range(0, pages, 10))
    bare, both = [], []
    with ProcessPoolExecutor(workers) as pool:
        for work in (_bare, _both):
            list(pool.map(work, range(0, 10 * workers, 10)))
        for _ in range(5):
            for work, rates in ((_bare, bare), (_both, both)):
                begun = time.perf_counter()
                list(pool.map(work, firsts))
                rates.append(pages / (time.perf_counter() - begun))
    return statistics.median(bare), statistics.median(both)


def run(arguments: argparse.Namespace) -> dict[str, float | int | str]:
    """First and second crawl of the same pages into a fresh warehouse."""
    from llm_twin.collection.collect import collect
    from llm_twin.documents import Author
    from llm_twin.local.home import open_home
    from llm_twin.local.services import local_services
    from llm_twin.recipes import CollectionRecipe, SourceRecipe
    from llm_twin.stores.warehouse import Warehouse

    workers = psutil.cpu_count() or 1
    bare, both = _rates(arguments.bare_pages, workers)
    print(f"trafilatura alone: {bare:.1f} pages/s on {workers} cores; both witnesses and the vote: {both:.1f}")
    with tempfile.TemporaryDirectory() as folder, _site(arguments.pages) as port:
        recipe = CollectionRecipe(
            sources=[SourceRecipe(location=f"https://{HOST}/")],
            connect_to={HOST: f"http://127.0.0.1:{port}"},
            requests_per_second=5000,
            max_pages=arguments.pages,
        )
        author = Author(id="many", name="Many")
        with (
            local_services(open_home(Path(folder)), need=("warehouse",)) as urls,
            Warehouse.connect(urls["warehouse"]) as warehouse,
        ):
            busy = _Busy()
            begun = time.perf_counter()
            with busy:
                first = collect(author, recipe, warehouse)
            first_seconds = time.perf_counter() - begun
            seconds = []
            for _ in range(3):
                begun = time.perf_counter()
                second = collect(author, recipe, warehouse)
                seconds.append(time.perf_counter() - begun)
    second_seconds = statistics.median(seconds)
    print(f"first crawl:  {first.counts['inserted']:,} pages in {first_seconds:.1f} s")
    print(f"second crawl: {second.counts['unchanged']:,} unchanged in {second_seconds:.1f} s")
    return {
        "pages": first.counts["inserted"],
        "unchanged": second.counts["unchanged"],
        "failed": len(first.failures) + len(second.failures),
        "pages_per_second": round(arguments.pages / first_seconds, 1),
        "bare_trafilatura_per_second": round(bare, 1),
        "extraction_alone_per_second": round(both, 1),
        "second_share": round(second_seconds / first_seconds, 4),
        "first_seconds": round(first_seconds, 1),
        "second_seconds": round(second_seconds, 2),
        "cores_busy_share": round(busy.share, 2),
    }


class _Busy:
    """The share of all cores that was in use while it was entered."""

    share = 0.0

    def __enter__(self) -> None:
        psutil.cpu_percent()
        self.samples: list[float] = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def _sample(self) -> None:
        while not self.done.wait(0.5):
            self.samples.append(psutil.cpu_percent())

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()
        self.share = statistics.median(self.samples or [0.0]) / 100
