"""The sample author's files: whole, well-formed, large enough, and consistent with one another."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from llm_twin.sample.site import DATA_DIR

VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
BLOG, NEWS = "https://fenwick.example", "https://theslowgauge.example"


class TagBalance(HTMLParser):
    """Check that every element that opens is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def zipped(name: str) -> dict[str, str]:
    with zipfile.ZipFile(DATA_DIR / name) as archive:
        assert archive.testzip() is None
        return {entry: archive.read(entry).decode() for entry in archive.namelist()}


def pages() -> dict[str, str]:
    found = {str(path.relative_to(DATA_DIR)): path.read_text("utf-8") for path in sorted(DATA_DIR.rglob("*.html"))}
    for name in ("medium-export.zip", "linkedin-export.zip"):
        found |= {f"{name}/{entry}": text for entry, text in zipped(name).items() if entry.endswith(".html")}
    return found


def text_of(html: str, selector: str) -> str:
    node = BeautifulSoup(html, "html.parser").select_one(selector)
    assert node is not None
    for extra in node.select(".subscription-widget-wrap-editor, .button-wrapper"):
        extra.decompose()
    return node.get_text(" ")


@cache
def articles() -> dict[str, str]:
    """Every published article's text by its canonical URL."""
    found = {}
    for path in (DATA_DIR / "blog/posts").glob("*.html"):
        found[f"{BLOG}/posts/{path.name}"] = text_of(path.read_text("utf-8"), ".entry-content")
    for path in (DATA_DIR / "newsletter/p").glob("*.html"):
        found[f"{NEWS}/p/{path.stem}"] = text_of(path.read_text("utf-8"), ".available-content .body.markup")
    for entry, html in zipped("medium-export.zip").items():
        if entry.startswith("posts/") and "draft_" not in entry:
            link = BeautifulSoup(html, "html.parser").select_one("a.p-canonical")
            assert link is not None
            found[str(link["href"])] = text_of(html, '[data-field="body"]')
    for entry, html in zipped("linkedin-export.zip").items():
        if entry.startswith("Articles/"):
            link = BeautifulSoup(html, "html.parser").select_one("h1 a")
            assert link is not None
            found[str(link["href"])] = text_of(html, "body > div")
    return found


@cache
def shares() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(zipped("linkedin-export.zip")["Shares.csv"], newline="")))


def words(text: str) -> int:
    return len(text.split())


def test_there_is_as_much_writing_as_promised() -> None:
    posts = [share["ShareCommentary"] for share in shares() if share["ShareCommentary"]]
    assert len(articles()) >= 22
    assert len(posts) >= 44
    assert sum(map(words, articles().values())) + sum(map(words, posts)) >= 20_000


def test_each_article_and_post_is_of_its_length() -> None:
    assert {url: n for url, text in articles().items() if not 650 <= (n := words(text)) <= 1000} == {}
    posts = [share["ShareCommentary"].replace('"\n"', "\n") for share in shares() if share["ShareCommentary"]]
    assert [post for post in posts if not 40 <= words(post) <= 110] == []


def test_no_paragraph_is_used_twice() -> None:
    pieces = [piece.strip() for text in articles().values() for piece in text.split("\n")]
    long = [piece for piece in pieces if words(piece) > 12]
    assert len(long) == len(set(long))


def test_she_keeps_her_voice() -> None:
    for url, text in articles().items():
        assert " — " in text, url
        assert text.count("'") >= 10, url
        assert re.search(r"\byou\b", text), url
        if "curly-quote" not in url:
            assert not set("’‘“”") & set(text), url


def test_every_page_is_well_formed() -> None:
    for name, html in pages().items():
        balance = TagBalance()
        balance.feed(html)
        balance.close()
        assert balance.open == [], name
        assert "lorem ipsum" not in html.lower(), name


@pytest.mark.parametrize("name", ["blog/feed.xml", "blog/sitemap.xml", "newsletter/feed.xml", "newsletter/sitemap.xml"])
def test_feeds_and_sitemaps_are_xml_and_lead_to_the_articles(name: str) -> None:
    root = ET.parse(DATA_DIR / name).getroot()
    listed = {node.text for tag in ("link", "loc") for node in root.iter() if node.tag.endswith(tag)}
    site = BLOG if name.startswith("blog") else NEWS
    assert {url for url in articles() if url.startswith(site)} <= listed


def test_the_blog_feed_has_summaries_and_the_newsletter_feed_whole_posts() -> None:
    blog = ET.parse(DATA_DIR / "blog/feed.xml").getroot().findall(".//item")
    assert all(words(item.findtext("description") or "") < 60 for item in blog)
    assert all(item.find("category") is not None and item.findtext("pubDate") for item in blog)
    content = "{http://purl.org/rss/1.0/modules/content/}encoded"
    news = ET.parse(DATA_DIR / "newsletter/feed.xml").getroot().findall(".//item")
    assert all(words(item.findtext(content) or "") > 650 for item in news)


def test_blog_pages_carry_their_metadata() -> None:
    for path in (DATA_DIR / "blog/posts").glob("*.html"):
        soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        canonical, og_url = soup.select_one("link[rel=canonical]"), soup.select_one('meta[property="og:url"]')
        metadata = soup.select_one('script[type="application/ld+json"]')
        assert canonical and og_url and metadata
        assert canonical["href"] == og_url["content"] == f"{BLOG}/posts/{path.name}"
        assert json.loads(metadata.get_text())["@type"] == "BlogPosting"
        assert soup.select_one("nav") and soup.select_one(".comment-body") and soup.select_one(".cookie-notice")


def test_the_newsletter_archive_lists_every_post_newest_first() -> None:
    listed = json.loads((DATA_DIR / "newsletter/api/v1/archive.json").read_text("utf-8"))
    assert {post["canonical_url"] for post in listed} == {url for url in articles() if url.startswith(NEWS)}
    assert all(post["audience"] == "everyone" and post["type"] == "newsletter" for post in listed)
    dates = [post["post_date"] for post in listed]
    assert dates == sorted(dates, reverse=True)


def test_internal_links_lead_somewhere() -> None:
    for name, html in pages().items():
        for link in BeautifulSoup(html, "html.parser").select("a[href]"):
            href = str(link["href"])
            if href.startswith((f"{BLOG}/posts/", f"{NEWS}/p/", "https://medium.com/@odalysfenwick/")):
                assert href.split("?")[0] in articles(), (name, href)
            elif href.startswith("/posts/"):
                assert BLOG + href in articles(), (name, href)


def test_the_medium_export_has_stories_one_draft_and_a_profile() -> None:
    files = zipped("medium-export.zip")
    stories = [name for name in files if re.match(r"posts/\d{4}-\d\d-\d\d_.+-[0-9a-f]{12}\.html$", name)]
    drafts = [name for name in files if name.startswith("posts/draft_")]
    assert (len(stories), len(drafts)) == (6, 1)
    assert {"README.html", "profile/profile.html"} <= set(files)
    for name in stories:
        soup = BeautifulSoup(files[name], "html.parser")
        when = soup.select_one("time.dt-published")
        assert when and str(when["datetime"])[:10] in name
        assert soup.select_one("article.h-entry section.p-summary") and soup.select_one("p.graf.graf--p")


def test_the_linkedin_export_is_as_the_platform_gives_it() -> None:
    files = zipped("linkedin-export.zip")
    assert list(shares()[0]) == ["Date", "ShareLink", "ShareCommentary", "SharedUrl", "MediaUrl", "Visibility"]
    assert len({share["ShareLink"] for share in shares()}) == len(shares())
    assert [s["Date"] for s in shares()] == sorted((s["Date"] for s in shares()), reverse=True)
    bare = [share for share in shares() if not share["ShareCommentary"]]
    assert len(bare) >= 3
    assert all(share["SharedUrl"] for share in bare)
    assert any('"\n"' in share["ShareCommentary"] for share in shares())
    assert {"Profile.csv", "Connections.csv"} <= set(files)
    addresses = re.findall(r"[\w.]+@[\w.]+", files["Connections.csv"])
    assert addresses and all(address.endswith("@example.com") for address in addresses)


def test_dates_are_in_range() -> None:
    pubdates = re.findall(r"<pubDate>.*? (20\d\d) ", (DATA_DIR / "blog/feed.xml").read_text("utf-8"))
    assert {int(year) for year in pubdates} <= set(range(2019, 2027))
    assert all("2019-01-01" <= share["Date"] <= "2026-11-01" for share in shares())


def test_the_bundle_clones_with_its_history(tmp_path: Path) -> None:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    clone = tmp_path / "tidelog"
    git("clone", "-q", str(DATA_DIR / "tidelog.bundle"), str(clone))
    assert git("-C", str(clone), "branch", "--show-current") == "main"
    authors = git("-C", str(clone), "log", "--format=%an <%ae>").splitlines()
    assert authors.count("Odalys Fenwick <odalys@fenwick.example>") >= 8
    assert len(authors) - authors.count("Odalys Fenwick <odalys@fenwick.example>") == 1
    for name in ("README.md", "CHANGELOG.md", "docs/why.md", "src/tidelog/store.py", "tests/test_store.py"):
        assert (clone / name).is_file()
    for path in clone.rglob("*.py"):
        compile(path.read_text("utf-8"), str(path), "exec")


def test_questions_name_documents_that_are_here() -> None:
    questions = yaml.safe_load((DATA_DIR / "questions.yaml").read_text("utf-8"))
    urls = set(articles()) | {share["ShareLink"] for share in shares()}
    answered = [q for q in questions if q["url"] is not None]
    assert (len(answered), len(questions) - len(answered)) == (40, 8)
    assert [q["url"] for q in answered if q["url"] not in urls] == []
    assert all(q["question"].endswith("?") and q["answer"] for q in questions)
    assert len({q["question"] for q in questions}) == len(questions)


def test_the_readme_says_that_she_is_invented() -> None:
    readme = (DATA_DIR / "README.md").read_text("utf-8")
    assert "doesn't exist" in readme
    assert "Apache-2.0" in readme
