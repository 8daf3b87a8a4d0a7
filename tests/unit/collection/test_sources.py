"""Exports, folders, feeds and sitemaps: what is read of good ones, and what bad ones are called."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import textwrap
import zipfile
from pathlib import Path

import pytest

from llm_twin.collection.conversion import convert
from llm_twin.collection.dispatch import pick_source
from llm_twin.collection.http import Fetcher
from llm_twin.collection.records import Event, Failure, Found, canonicalize_url, make_document, parse_when
from llm_twin.collection.sources.context import Context
from llm_twin.collection.sources.feeds import parse_feed
from llm_twin.collection.sources.linkedin import unwrap_commentary
from llm_twin.collection.sources.page_text import trim_page, unwrap
from llm_twin.collection.sources.sitemaps import parse_sitemap
from llm_twin.documents import Author, Document
from llm_twin.errors import InputError

ADA = Author(id="ada", name="Ada Moss", email="ada@moss.example")


def collect(location: str | Path, kind: str = "auto") -> list[Event]:
    async def gather() -> list[Event]:
        async with Fetcher() as fetcher:
            source = pick_source(str(location), kind)
            return [
                event async for event in source.collect(str(location), Context(ADA, fetcher, max_file_bytes=100_000))
            ]

    return asyncio.run(gather())


def documents(events: list[Event]) -> list[Document]:
    found = [event for event in events if isinstance(event, Found)]
    return [make_document("ada", one, "raw", *convert(one)) for one in found]


def reasons(events: list[Event]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Failure)]


def make_zip(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


STORY = """<html><body><article class="h-entry"><header><h1 class="p-name">A story</h1></header>
<section data-field="subtitle" class="p-summary">Of sorts</section>
<section data-field="body" class="e-content"><h3 class="graf graf--h3 graf--title">A story</h3>
<p>It’s short — “very” — and it ends here…</p><pre>if x:<br>    y()</pre><ul><li>one</li><li>two</li></ul></section>
<footer><a href="https://medium.com/p/0123456789ab">
<time class="dt-published" datetime="2020-05-06T07:08:09.000Z"></time></a>
<a href="https://medium.com/@ada/a-story-0123456789ab" class="p-canonical">Canonical</a>
</footer></article></body></html>"""


def test_a_medium_export(tmp_path: Path) -> None:
    path = make_zip(
        tmp_path / "m.zip", {"posts/2020-05-06_A-story-0123456789ab.html": STORY, "posts/draft_x.html": STORY}
    )
    (document,) = documents(collect(path))
    assert (document.title, document.subtitle) == ("A story", "Of sorts")
    assert document.url == "https://medium.com/@ada/a-story-0123456789ab"
    assert document.published is not None and document.published.isoformat() == "2020-05-06T07:08:09+00:00"
    assert document.text == "It’s short — “very” — and it ends here…\n\n```\nif x:\n    y()\n```\n\n- one\n- two\n"


SHARES = (
    "Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\r\n"
    '2024-01-02 03:04:05,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A1,"First line, said ""he"".""\n""\n""'
    'Last line. #tides",,,MEMBER_NETWORK\r\n'
    "2024-01-03 03:04:05,https://www.linkedin.com/feed/update/urn%3Ali%3Ashare%3A2,,https://x.example/a,,MEMBER_NETWORK\r\n"
)


def test_a_linkedin_export_keeps_line_breaks_and_leaves_bare_reshares_out(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "l.zip", {"Shares.csv": SHARES, "Profile.csv": "First Name\nAda\n"})
    (document,) = documents(collect(path))
    assert document.kind == "post" and document.tags == ["tides"]
    assert document.text == 'First line, said "he".\n\nLast line. #tides\n'
    assert unwrap_commentary("no marks\nat all") == "no marks\nat all"


def test_a_substack_export(tmp_path: Path) -> None:
    table = "post_id,post_date,is_published,type,title,subtitle\n"
    table += "7.on-ink,2023-04-05T06:00:00Z,true,newsletter,On ink,Blue\n"
    table += "8.gone,2023-04-06T06:00:00Z,true,newsletter,Gone,\n9.draft,,false,newsletter,Draft,\n"
    path = make_zip(tmp_path / "s.zip", {"posts.csv": table, "posts/7.on-ink.html": "<p>Ink, mostly.</p>"})
    events = collect(path)
    (document,) = documents(events)
    assert (document.title, document.url) == ("On ink", "https://ada.substack.com/p/on-ink")
    assert reasons(events) == ["missing-file"]


def test_bad_archives_are_named_item_by_item(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    make_zip(
        path,
        {"posts/good-0123456789ab.html": STORY, "../../etc/passwd": "x", "/abs.html": "x", "posts/e.html": "<p></p>"},
    )
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("posts/link.html")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("posts/huge.html", b"0" * 5_000_000, zipfile.ZIP_DEFLATED)
    events = collect(path)
    assert sorted(reasons(events)) == ["empty", "path-traversal", "path-traversal", "symlink", "too-large"]
    assert len(documents(events)) == 1


def test_what_is_no_export_says_so(tmp_path: Path) -> None:
    other = make_zip(tmp_path / "holiday.zip", {"photo.txt": "sea"})
    (tmp_path / "text.zip").write_text("no zip at all")
    for kind in ("medium", "linkedin", "substack"):
        with pytest.raises(InputError, match="is no .* export"):
            collect(other, kind)
        with pytest.raises(InputError, match="cannot be read as a ZIP"):
            collect(tmp_path / "text.zip", kind)
    for location in (str(other), str(tmp_path / "missing"), "ftp://x.example/"):
        with pytest.raises(InputError, match="no source"):
            pick_source(location)
    with pytest.raises(InputError, match="unknown source type"):
        pick_source("https://x.example/", "mdium")
    with pytest.raises(InputError, match="not crawled"):
        collect("https://www.linkedin.com/in/ada")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("When,Where,What\n1,2,3\n", "odd-columns"),
        ("Date,ShareLink,ShareCommentary\n2024-01-01,https://l.example/1\n", "odd-row"),
        ("Date,ShareLink,ShareCommentary\n2024-01-01,not a link,Words\n", "no-url"),
        ("", "odd-columns"),
    ],
)
def test_odd_tables(tmp_path: Path, table: str, reason: str) -> None:
    assert reasons(collect(make_zip(tmp_path / "l.zip", {"Shares.csv": table}))) == [reason]


def test_a_folder_with_front_matter_drafts_and_links(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(
        "---\ntitle: On ropes\ndate: 2021-02-03\ntags: [knots, sea]\n---\n# On ropes\n\nHemp — no.\n"
    )
    (tmp_path / "b.md").write_text("+++\ntitle = 'TOML'\n+++\nText…\n")
    (tmp_path / "2020-01-02-plain-words.txt").write_text("Plain words.\n\nTwo paragraphs.")
    (tmp_path / "broken.md").write_text("---\ntitle: [\n---\nx")
    (tmp_path / "link.md").symlink_to("/etc/passwd")
    events = collect(tmp_path)
    by_title = {d.title: d for d in documents(events)}
    assert set(by_title) == {"On ropes", "TOML", "Plain words"}
    assert by_title["On ropes"].text == "Hemp — no.\n" and by_title["On ropes"].tags == ["knots", "sea"]
    assert by_title["Plain words"].published is not None and by_title["Plain words"].published.year == 2020
    assert reasons(events) == ["invalid-front-matter"]


def test_a_git_repository_keeps_code_and_who_wrote_it(tmp_path: Path) -> None:
    def git(*arguments: str, who: str = "Ada Moss") -> None:
        names = ["-c", f"user.name={who}", "-c", "user.email=x@y.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "README.md").write_text("# Knots\n\nA tool.\n")
    (tmp_path / "tie.py").write_text("def tie():\n    return 'a  b'\n")
    git("add", "."), git("commit", "-qm", "one")
    (tmp_path / "other.py").write_text("x = 1\n")
    git("add", "."), git("commit", "-qm", "two", who="Someone Else")
    (document,) = documents(collect(tmp_path, "git"))
    assert document.kind == "repository"
    assert "```python\ndef tie():\n    return 'a  b'\n```" in document.text
    assert "other.py" not in document.text
    assert document.metadata["contributors"] == ["Ada Moss", "Someone Else"]
    with pytest.raises(Exception, match="git"):
        collect(make_zip(tmp_path / "x.bundle", {}), "git")


def test_a_handbook_export_holds_many_authors(tmp_path: Path) -> None:
    users = [
        {"_id": "1", "first_name": "Ada", "last_name": "Moss"},
        {"_id": "2", "first_name": "Bo", "last_name": "Lee"},
    ]
    record = {
        "_id": "a",
        "author_id": "2",
        "author_full_name": "Bo Lee",
        "platform": "x",
        "link": "https://b.example/p",
    }
    good = {**record, "content": {"Title": "Tea", "Content": "Tea is a drink."}}
    bad = [{**record, "link": ""}, {**record, "content": {}}, {**good, "author_id": "9", "author_full_name": ""}, 7]
    (tmp_path / "UserDocument.json").write_text(json.dumps(users))
    (tmp_path / "ArticleDocument.json").write_text(json.dumps([good, *bad]))
    events = collect(tmp_path, "handbook")
    assert sorted(reasons(events)) == ["empty", "invalid-record", "no-author", "no-url"]
    assert [e.author for e in events if isinstance(e, Found)] == []  # Ada is one of its authors: only hers are taken
    (tmp_path / "UserDocument.json").write_text(json.dumps(users[1:]))
    found = [e for e in collect(tmp_path, "handbook") if isinstance(e, Found)]
    assert [e.author.id for e in found if e.author] == ["bo-lee"]


def test_a_feed_without_dates_and_one_that_is_broken() -> None:
    feed = b"<rss version='2.0'><channel><item><title>a</title><link>https://x.example/a?utm_source=rss</link></item></channel></rss>"
    parsed = parse_feed(feed, "https://x.example/feed")
    assert [(e.url, e.published) for e in parsed.entries] == [("https://x.example/a", None)] and not parsed.problem
    assert parse_feed(feed[:-30], "https://x.example/feed").problem
    assert parse_feed(b"<html><p>hello</p></html>", "https://x.example/feed").problem


def test_sitemaps() -> None:
    urls = b"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'><url><loc>https://x.example/a</loc></url></urlset>"
    assert parse_sitemap(urls) == ([], ["https://x.example/a"])
    bomb = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>'
    assert parse_sitemap(bomb) == ([], [])
    with pytest.raises(ValueError, match="no sitemap"):
        parse_sitemap(b"<html></html>")


def test_one_spelling_for_one_page() -> None:
    assert canonicalize_url("HTTPS://X.Example:443/a?utm_source=y&id=3#top") == "https://x.example/a?id=3"
    assert canonicalize_url("https://a.substack.com/p/x?r=1ab") == "https://a.substack.com/p/x"
    assert canonicalize_url("https://x.example/?s=query") == "https://x.example/?s=query"
    once = canonicalize_url("https://x.example/ü b?q=a b")
    assert canonicalize_url(once) == once


def test_dates_as_people_write_them() -> None:
    for text in ("2024-01-02T03:04:05Z", "Tue, 02 Jan 2024 03:04:05 GMT", "2024-01-02 03:04:05 UTC", 1704164645):
        moment = parse_when(text)
        assert moment is not None and moment.isoformat() == "2024-01-02T03:04:05+00:00", text
    assert parse_when("yesterday") is None and parse_when("") is None and parse_when(float("inf")) is None


def test_wrapped_text_is_unwrapped_and_its_own_breaks_stay() -> None:
    words = ("the sea rose and nobody in the harbour had written it down at all, " * 8).split()
    lines = [" ".join(words[i : i + 40]) for i in range(0, len(words), 40)]
    paragraphs = [textwrap.fill(line, 78) for line in lines]
    text = "\n\n".join([*paragraphs, "- one\n- two", "A verse  \nof two lines"])
    assert unwrap(text).split("\n\n")[: len(lines)] == lines
    assert unwrap(text).endswith("- one\n- two\n\nA verse  \nof two lines")
    page = trim_page(
        "Menu\n\n# A title\n\n### Below it\n\nAda\n\nJan 02, 2024\n\nShare this post\n\nThe text itself.\n"
    )
    assert (page.title, page.subtitle, page.text) == ("A title", "Below it", "The text itself.")
