"""GitHub's REST API, spoken by a server on loopback: pages of repositories, trees, blobs, forks left out."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm_twin.collection.http import Fetcher
from llm_twin.collection.records import Event, Failure, Found
from llm_twin.collection.sources import github
from llm_twin.collection.sources.context import Context
from llm_twin.documents import Author
from llm_twin.errors import SourceError

FILES = {"README.md": b"# Knots\n\nA tool.\n", "src/tie.py": b"def tie():\n    return 1\n", "logo.png": b"\x89PNG"}


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tokens: set[str] = set()

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        Api.tokens.add(self.headers.get("authorization", ""))
        path, _, query = self.path.partition("?")
        if path == "/users/ada/repos":
            second = "page=2" in query
            names = ["quiet"] if second else ["knots", "a-fork"]
            repositories = [
                {"name": n, "fork": n == "a-fork", "size": 3, "html_url": f"https://github.com/ada/{n}"} for n in names
            ]
            link = "" if second else '<https://api.github.com/users/ada/repos?page=2>; rel="next"'
            self.answer(200, repositories, link)
        elif path.startswith("/repos/ada/knots/git/trees/"):
            tree = [{"type": "blob", "mode": "100644", "path": p, "size": len(b), "sha": p} for p, b in FILES.items()]
            self.answer(200, {"sha": "abc", "tree": tree})
        elif path.startswith("/repos/ada/knots/git/blobs/"):
            body = FILES[path.removeprefix("/repos/ada/knots/git/blobs/")]
            self.answer(200, {"content": base64.b64encode(body).decode()})
        elif path == "/repos/ada/knots":
            about = {"default_branch": "main", "description": "Ties", "created_at": "2020-01-02T03:04:05Z"}
            self.answer(200, about | {"topics": ["rope"]})
        else:
            self.answer(404, {"message": "Not Found"})

    def answer(self, status: int, content: object, link: str = "") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-ratelimit-remaining", "42")
        if link:
            self.send_header("link", link)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def collect(location: str, port: int, token: str = "") -> list[Event]:
    async def gather() -> list[Event]:
        # No git server answers at this address, so the files come by the API.
        connect_to = {"api.github.com": f"http://127.0.0.1:{port}", "github.com": "http://127.0.0.1:9"}
        async with Fetcher(connect_to=connect_to, requests_per_second=1000, timeout_seconds=10) as fetcher:
            context = Context(Author(id="ada", name="Ada"), fetcher, github_token=token)
            return [event async for event in github.collect(location, context)]

    return asyncio.run(gather())


def test_all_own_repositories_over_pages(port: int) -> None:
    events = collect("https://github.com/ada", port, token="secret-token")
    (found,) = [event for event in events if isinstance(event, Found)]
    assert found.url == "https://github.com/ada/knots"
    assert found.text is not None and "```python\ndef tie():\n    return 1\n```" in found.text
    assert [f["path"] for f in found.hints["metadata"]["files"]] == ["README.md", "src/tie.py"]
    assert found.hints["tags"] == ["rope"]
    assert [e.url for e in events if isinstance(e, Failure)] == [
        "https://github.com/ada/quiet"
    ]  # named, the rest goes on
    assert "Bearer secret-token" in Api.tokens


def test_nobody_of_that_name(port: int) -> None:
    with pytest.raises(SourceError, match="http-404"):
        collect("https://github.com/nobody", port)
