"""`twin extract`: files and addresses to JSON lines, in order, on one core or several, without a warehouse."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks.collection import make_page
from llm_twin.cli import app, collection
from llm_twin.collection import pool
from llm_twin.collection.extraction import pages
from llm_twin.collection.records import ItemError

FIELDS = {"title", "subtitle", "author", "published", "updated", "url", "language", "tags", "text"}


class Pages(BaseHTTPRequestHandler):
    """Three pages: an article, a bot check, nothing."""

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        """Answer."""
        pages = {"/p/7": make_page(7), "/bot": b"<html><title>Just a moment...</title><body>cf_chl_opt</body></html>"}
        body = pages.get(self.path, b"")
        self.send_response(200 if self.path in pages else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: str, stdin: str = "") -> Result:
    if not app.registered_commands:
        collection.register(app)
    return CliRunner().invoke(app, ["extract", *arguments], input=stdin)


def records(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_files_come_out_in_order_and_the_bad_ones_are_named(tmp_path: Path, home: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"{number}.html").write_bytes(make_page(number) if number != 2 else b"<html></html>")
    names = [str(tmp_path / name) for name in ("3.html", "2.html", "missing.html", "1.html")]
    result = run(*names)
    assert result.exit_code == 1
    assert [record["title"] for record in records(result)] == ["Entry 3", "Entry 1"]
    assert all(set(record) == FIELDS for record in records(result))
    first = records(result)[0]
    assert (first["url"], first["published"], first["language"]) == (
        "https://many.example/p/3", "2024-03-04T10:00:00Z", "en",
    )  # fmt: skip
    assert "```python\ndef entry():\n    return 3\n```" in str(first["text"])
    assert "Topic number" not in result.stdout
    errors = result.stderr.splitlines()
    assert len(errors) == 2 and "2.html: empty" in errors[0] and "missing.html: No such file" in errors[1]
    assert not home.exists()  # neither a warehouse nor anything else was started


def test_names_from_stdin_and_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = pool.PAGES_BEFORE_WORKERS + 5
    for number in range(count):
        (tmp_path / f"{number:03}.html").write_bytes(make_page(number))
    started: list[int] = []
    workers = pool.ExtractionPool._workers

    def noted(self: pool.ExtractionPool) -> object:
        started.append(self.workers)
        return workers(self)

    monkeypatch.setattr(pool.ExtractionPool, "_workers", noted)
    listed = "\n".join(str(path) for path in sorted(tmp_path.glob("*.html")))
    result = run("-", "--workers", "2", stdin=listed + "\n")
    assert result.exit_code == 0, result.stderr
    assert [record["title"] for record in records(result)] == [f"Entry {number}" for number in range(count)]
    assert started and set(started) == {2}


def test_addresses(address: str) -> None:
    pages = [f"http://{address}/p/7", f"http://{address}/bot", f"http://{address}/none"]
    refused = run(pages[0])
    assert refused.exit_code == 1 and "private-address" in refused.stderr and refused.stdout == ""
    result = run(*pages, "--allow", address, "--requests-per-second", "100")
    assert result.exit_code == 1
    assert [record["title"] for record in records(result)] == ["Entry 7"]
    assert "bot-check" in result.stderr and "http-404" in result.stderr


def read_or_die(page: str) -> str:
    """In a worker: one page ends its process, as a crash in a parser would."""
    if page == "deadly":
        os._exit(1)
    return page.upper()


def test_a_page_that_ends_its_process_is_named_and_the_others_are_read() -> None:
    async def read() -> list[object]:
        with pool.ExtractionPool(2, expected_pages=1000) as workers:
            pages = ["a", "b", "deadly", "c", "d"]
            return await asyncio.gather(*(workers.run(read_or_die, page) for page in pages), return_exceptions=True)

    *others, failure = sorted(asyncio.run(read()), key=lambda one: isinstance(one, Exception))
    assert others == ["A", "B", "C", "D"]
    assert isinstance(failure, ItemError) and "deadly: crashed" in str(failure)


def test_a_page_that_breaks_the_parsers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    (tmp_path / "1.html").write_bytes(make_page(1))
    monkeypatch.setattr(pages, "read_by_all", give_up)
    result = run(str(tmp_path / "1.html"), str(tmp_path / "none.html"))
    assert result.exit_code == 1
    assert "1.html: unreadable: RecursionError" in result.stderr and "none.html" in result.stderr
