"""`twin collect` and `twin quarantine` over bad input: each thing named, the rest there, and the exit code says so."""

from __future__ import annotations

import json
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from llm_twin.cli import app, collection
from llm_twin.collection.records import document_id
from tests.integration.warehouse_process import running_warehouse

WORDS = "The tide came in twice that day — and nobody minded, least of all the gulls on the roof of the shed."
STORY = f"""<html><body><article class="h-entry"><h1 class="p-name">A story</h1>
<section data-field="body" class="e-content"><p>{WORDS}</p></section>
<footer><a href="https://medium.com/@ada/a-story-0123456789ab" class="p-canonical">Canonical</a></footer></article>
</body></html>"""
ITEM = "<item><title>{0}</title><link>https://dateless.example/{0}</link></item>"


class Site(BaseHTTPRequestHandler):
    """A feed whose entries have no dates; one of its pages is empty."""

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        """Answer."""
        items = "".join(ITEM.format(name) for name in ("one", "hollow", "two"))
        feed = (
            f"<rss version='2.0'><channel><title>D</title><link>https://dateless.example/</link>{items}</channel></rss>"
        )
        paragraphs = f"<p>{WORDS} {self.path}</p>" * 6
        body = f"<html lang='en'><body><article><h1>{self.path}</h1>{paragraphs}</article></body></html>"
        bodies = {"/feed": feed, "/one": body, "/two": body, "/hollow": ""}
        self.send_response(200 if self.path in bodies else 404)
        self.send_header("Content-Type", "application/rss+xml" if self.path == "/feed" else "text/html")
        self.send_header("Content-Length", str(len(bodies.get(self.path, "").encode())))
        self.end_headers()
        self.wfile.write(bodies.get(self.path, "").encode())


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    with running_warehouse(tmp_path) as (url, database):
        monkeypatch.setenv("LLM_TWIN_MONGODB_URL", url)
        monkeypatch.setenv("LLM_TWIN_MONGODB_DATABASE", database)
        yield tmp_path


def twin(*arguments: str) -> Result:
    if not app.registered_commands:
        collection.register(app)
    return CliRunner().invoke(app, list(arguments))


def write_recipe(folder: Path, authors: list[dict[str, object]], connect_to: dict[str, str] | None = None) -> str:
    """A recipe, and beside it a sources file with these authors; neither lies in the working folder."""
    (folder / "sources.yaml").write_text(yaml.safe_dump({"authors": authors}))
    chosen = {"sources_file": "sources.yaml", "requests_per_second": 1000, "connect_to": connect_to or {}}
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump({"name": "mine", "author": {"id": "ada", "name": "Ada"}, "collection": chosen})
    )
    return str(folder / "recipe.yaml")


def author(name: str, *locations: str, kind: str = "auto") -> dict[str, object]:
    return {"id": name, "name": name.title(), "sources": [{"location": one, "type": kind} for one in locations]}


def make_zip(path: Path, members: dict[str, str]) -> str:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return str(path)


def listed(whose: str = "") -> list[tuple[str, str]]:
    """(author, reason) of what is in quarantine."""
    result = twin("quarantine", *(["--author", whose] if whose else []))
    assert result.exit_code == 0, result.output
    return sorted((item["author"], item["reason"]) for item in map(json.loads, result.stdout.splitlines()))


def test_bad_items_are_named_the_rest_goes_on_and_the_exit_code_is_one(home: Path, site: str) -> None:
    medium = make_zip(home / "medium.zip", {"posts/story-0123456789ab.html": STORY, "../../../evil.html": STORY})
    with zipfile.ZipFile(medium, "a") as archive:
        link = zipfile.ZipInfo("posts/link-0123456789ac.html")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    table = "Date,ShareLink,ShareCommentary\n2024-01-01,https://l.example/1\n"
    table += f'2024-01-02 03:04:05,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A2,"{WORDS}"\n'
    linkedin = make_zip(home / "linkedin.zip", {"Shares.csv": table, "Profile.csv": "First Name\nAda\n"})
    recipe = write_recipe(
        home,
        [author("ada", medium, linkedin), author("bob", "https://dateless.example/feed")],
        {"dateless.example": site},
    )
    result = twin("collect", "--recipe", recipe, "--report", str(home / "report.md"))
    assert result.exit_code == 1, (result.output, result.exception)
    assert not list(home.rglob("evil.html")) and "root:" not in result.output
    assert listed() == [("ada", "odd-row"), ("ada", "path-traversal"), ("ada", "symlink"), ("bob", "empty")]
    assert listed("bob") == [("bob", "empty")]
    reports = {path.name: path.read_text() for path in home.glob("report-*.md")}
    assert set(reports) == {"report-ada.md", "report-bob.md"}
    for reason in ("odd-row", "path-traversal", "symlink"):
        assert reason in reports["report-ada.md"]
    assert "https://dateless.example/hollow" in reports["report-bob.md"]

    changed = [json.loads(line) for line in twin("changes").stdout.splitlines()]
    assert len(changed) == 4  # a story, a post, and both of the feed's good pages
    assert twin("changes").stdout == ""  # each reader is told once


def test_what_is_no_export_stops_its_author_alone(home: Path) -> None:
    (home / "notes").mkdir()
    (home / "notes" / "a.md").write_text(f"# A\n\n{WORDS}\n")
    other = make_zip(home / "holiday.zip", {"photo.txt": "sea"})
    recipe = write_recipe(home, [author("ada", other, kind="medium"), author("bob", "notes"), author("cyd", other)])
    result = twin("collect", "--recipe", recipe)
    assert result.exit_code != 0
    assert "ada" in result.stderr and "is no Medium export" in result.stderr
    assert "cyd" in result.stderr and "no source for" in result.stderr
    (change,) = map(json.loads, twin("changes").stdout.splitlines())
    assert change["document_id"] == document_id("bob", "folder://notes/a.md")
    nobody = twin("collect", "--recipe", recipe, "--author", "dan")
    assert nobody.exit_code != 0 and "no author 'dan'" in str(nobody.exception)
