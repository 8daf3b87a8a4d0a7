"""What the crawler does when a host is gone, and when one fails again and again; sources of other packages."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_twin.collection.dispatch import list_sources, pick_source
from llm_twin.collection.http import Fetcher, FetchError, hosts
from llm_twin.collection.records import Event, Failure, Found
from llm_twin.collection.sources.context import Context
from llm_twin.collection.sources.pages import fetch_pages, other_addresses
from llm_twin.documents import Author
from llm_twin.errors import InputError

ADA = Author(id="ada", name="Ada Moss")


class Failing(BaseHTTPRequestHandler):
    """Every page answers 500 until the server is `well`."""

    asked: list[str] = []
    well = threading.Event()

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        """Answer."""
        is_well = Failing.well.is_set() or self.path == "/robots.txt"
        body = b"<html><body><p>Well.</p></body></html>" if is_well and self.path != "/robots.txt" else b""
        if self.path != "/robots.txt":
            Failing.asked.append(self.path)
        self.send_response(200 if is_well else 500)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[str]:
    Failing.asked.clear()
    Failing.well.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def fetcher(**connect_to: str) -> Fetcher:
    named = {host.replace("_", "."): address for host, address in connect_to.items()}
    return Fetcher(connect_to=named, requests_per_second=10_000, max_retries=0)


def test_a_host_that_fails_again_and_again_is_left_alone_for_a_while(server: str) -> None:
    async def crawl() -> list[str]:
        reasons = []
        async with fetcher(sick_example=server) as client:
            for number in range(hosts.FAILURES_TO_OPEN + 3):
                try:
                    await client.get(f"https://sick.example/{number}")
                except FetchError as error:
                    reasons.append(error.reason)
            client.hosts["sick.example"].open_until = 0.0  # the wait is over
            Failing.well.set()
            assert (await client.get("https://sick.example/again")).status == 200
            assert client.hosts["sick.example"].failures == 0
        return reasons

    assert asyncio.run(crawl()) == ["http-500"] * hosts.FAILURES_TO_OPEN + ["circuit-open"] * 3
    assert len(Failing.asked) == hosts.FAILURES_TO_OPEN + 1  # those behind the open breaker never left


def test_pages_behind_an_open_breaker_are_asked_for_again(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "OPEN_SECONDS", 3600)

    async def crawl() -> list[Event]:
        async with fetcher(sick_example=server) as client:

            async def wait(url: str) -> None:
                assert client.hosts["sick.example"].is_open()
                Failing.well.set()  # it recovers while the breaker is open
                client.hosts["sick.example"].open_until = 0.0

            monkeypatch.setattr(client, "wait_until_closed", wait)
            urls = [f"https://sick.example/{number}" for number in range(40)]
            return [event async for event in fetch_pages(urls, Context(ADA, client), "site")]

    events = asyncio.run(crawl())
    failed = {event.url for event in events if isinstance(event, Failure)}
    found = {event.url for event in events if isinstance(event, Found)}
    assert len(failed) + len(found) == 40 and not failed & found
    assert {event.reason for event in events if isinstance(event, Failure)} == {"http-500"}
    assert len(found) >= 40 - hosts.FAILURES_TO_OPEN - hosts.CONCURRENT_REQUESTS  # those under way are lost


def test_a_page_moves_with_its_site_from_www_to_the_bare_name(server: str) -> None:
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        Failing.well.set()

        async def crawl() -> list[Event]:
            async with fetcher(www_moved_example=dead, moved_example=server) as client:
                return [
                    event
                    async for event in fetch_pages(["http://www.moved.example/a?b=1"], Context(ADA, client), "site")
                ]

        (event,) = asyncio.run(crawl())
    assert isinstance(event, Found) and event.url == "http://www.moved.example/a?b=1"
    assert Failing.asked == ["/a?b=1"]
    assert other_addresses("https://moved.example/") == ["https://www.moved.example/"]
    for kept in ("http://127.0.0.1/", "https://x.example:8443/", "http://localhost/"):
        assert other_addresses(kept) == []


PLUGIN = """
from llm_twin.collection.records import Found
NAME = "pigeons"
COMPLETE = False
def matches(location):
    return location.startswith("pigeon:")
async def collect(location, context):
    yield Found(url="https://pigeon.example/1", platform="site", kind="article", raw=b"Coo.", media="markdown")
"""


def install(folder: Path, code: str, target: str = "pigeon_source") -> None:
    """A package with an entry point, as pip leaves it."""
    (folder / "pigeon_source.py").write_text(code)
    about = folder / "pigeon-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[llm_twin.sources]\npigeon = {target}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("pigeon_source", None)


def test_another_package_adds_a_source(packages: Path) -> None:
    install(packages, PLUGIN)
    source = pick_source("pigeon:roof")
    assert source.NAME == "pigeons" and pick_source("x", "pigeons") is source

    async def gather() -> list[Event]:
        async with Fetcher() as client:
            return [event async for event in source.collect("pigeon:roof", Context(ADA, client))]

    (found,) = asyncio.run(gather())
    assert isinstance(found, Found) and found.raw == b"Coo."


@pytest.mark.parametrize(
    ("code", "target", "says"),
    [
        (PLUGIN, "no_such_module", "cannot be loaded"),
        (PLUGIN.replace("COMPLETE = False", ""), "pigeon_source", "has no COMPLETE"),
    ],
)
def test_a_broken_package_is_named(packages: Path, code: str, target: str, says: str) -> None:
    install(packages, code, target)
    with pytest.raises(InputError, match=says):
        list_sources()
