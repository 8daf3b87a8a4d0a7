"""Medium: a profile's or publication's feed, an article page, or the official export ZIP.

Medium answers crawlers with bot checks, so the feed's own whole text comes first and pages are asked for only
where there is no other way. The export holds everything a person ever published, and is the best source.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

from llm_twin.collection.http import FetchError
from llm_twin.collection.records import Event, Failure, Found, canonicalize_url
from llm_twin.collection.sources.archives import check_members, open_archive, read_member
from llm_twin.collection.sources.context import Context, existing_path, is_url
from llm_twin.collection.sources.exports import identify_export
from llm_twin.collection.sources.feeds import Feed, parse_feed
from llm_twin.collection.sources.pages import fetch_pages
from llm_twin.collection.sources.site import MIN_FEED_WORDS, entry_hints, found_entry
from llm_twin.errors import InputError, SourceError

NAME = "medium"
COMPLETE = False

_POST_ID = re.compile(r"-?([0-9a-f]{10,12})$")


def matches(location: str) -> bool:
    """A medium.com address, or a ZIP that is a Medium export."""
    if is_url(location):
        host = urlsplit(location).hostname or ""
        return host == "medium.com" or host.endswith(".medium.com")
    return identify_export(location) == "medium"


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield a profile's articles, one article, or an export's. Raises SourceError if the feed does not answer."""
    if not is_url(location):
        for event in read_export(location, context):
            yield event
        return
    address = feed_address(location)
    feed = Feed()
    if address is not None:
        try:
            response = await context.fetcher.get(address)
            feed = parse_feed(response.body, address)
        except FetchError as error:
            if not _is_article(location):
                raise SourceError(
                    f"{address}: {error.reason}: {error.detail}", "use the export: Settings, Download your information"
                ) from error
    if feed.problem:
        yield Failure(str(address), "invalid-feed", feed.problem)
    whole = {e.url: e for e in feed.entries if len(e.content.split()) >= MIN_FEED_WORDS}
    if _is_article(location):
        url = canonicalize_url(location)
        match = next((e for e in whole.values() if post_id(e.url) and post_id(e.url) == post_id(url)), None)
        contents = {url: match.content} if match else {}
        hints = {url: entry_hints(match)} if match else {}
        async for event in fetch_pages([url], context, "medium", hints, contents):
            yield event
        return
    for entry in whole.values():
        yield found_entry(entry, "medium", feed.language)
    rest = [e for e in feed.entries if e.url not in whole and not _is_comment(e.content)]
    urls = [e.url for e in rest] + [u for u in context.known_urls() if u not in whole]
    async for event in fetch_pages(urls, context, "medium", {e.url: entry_hints(e) for e in rest}):
        yield event


def feed_address(location: str) -> str | None:
    """The feed of the profile or publication that a Medium URL belongs to."""
    parts = urlsplit(location)
    host = parts.hostname or ""
    segments = [s for s in parts.path.split("/") if s]
    if host != "medium.com":
        return f"{parts.scheme}://{parts.netloc}/feed"
    if segments[:1] == ["feed"]:
        return location
    if not segments or segments[0] == "p":
        return None
    return f"{parts.scheme}://{parts.netloc}/feed/{segments[0]}"


def post_id(url: str) -> str:
    """The hexadecimal id that ends a Medium article's path, or nothing."""
    found = _POST_ID.search(urlsplit(url).path.rstrip("/"))
    return found[1] if found else ""


def _is_article(location: str) -> bool:
    return bool(post_id(location))


def _is_comment(content: str) -> bool:
    return bool(content) and len(content.split()) < MIN_FEED_WORDS


def read_export(location: str, context: Context) -> list[Event]:
    """The published stories of an export's posts folder; drafts stay out. Raises InputError if it is no export."""
    path = existing_path(location)
    events: list[Event] = []
    with open_archive(path) as archive:
        posts = 0
        for item in check_members(archive, location):
            if isinstance(item, Failure):
                events.append(item)
                continue
            name = PurePosixPath(item.filename)
            if "posts" not in name.parts[:-1] or name.suffix != ".html":
                continue
            posts += 1
            if name.name.startswith("draft_"):
                continue
            raw = read_member(archive, item, location, context.max_file_bytes)
            events.append(raw if isinstance(raw, Failure) else read_story(raw, f"{location}!{item.filename}"))
        if not posts:
            raise InputError(
                f"{location} is no Medium export: no posts/*.html in it", "Settings, Download your information"
            )
    return events


def read_story(raw: bytes, where: str) -> Event:
    """One story of an export, by its h-entry markup."""
    soup = BeautifulSoup(raw.decode("utf-8", errors="replace"), "lxml")
    body = soup.select_one("section[data-field=body], .e-content")
    if body is None or not body.get_text(strip=True):
        return Failure(where, "empty", "a story without a body")
    title = soup.select_one("h1.p-name, h1, title")
    heading = body.select_one("h3.graf--title, h3.graf--leading, h1, h2, h3, h4")
    if heading is not None and title is not None and _same(heading.get_text(), title.get_text()):
        heading.decompose()  # the title stands in the record already
    subtitle = soup.select_one("section[data-field=subtitle], .p-summary")
    inner = body.select_one("h4.graf--subtitle, p.graf--subtitle")
    if inner is not None and subtitle is not None and _same(inner.get_text(), subtitle.get_text()):
        inner.decompose()
    for rule in body.select("hr.section-divider"):
        if rule.find_previous(string=lambda text: bool(text.strip()) and body in text.parents) is None:
            rule.decompose()
    when = soup.select_one("time.dt-published")
    link = soup.select_one("a.p-canonical")
    href = str(link.get("href", "")) if link is not None else ""
    url = canonicalize_url(href) if is_url(href) else f"https://medium.com/p/{post_id(PurePosixPath(where).stem)}"
    if not is_url(href) and not post_id(PurePosixPath(where).stem):
        return Failure(where, "no-url", "neither a canonical link nor an id in the file's name")
    hints = {
        "title": title.get_text() if title is not None else "",
        "subtitle": subtitle.get_text() if subtitle is not None else "",
        "published": str(when.get("datetime", "")) if when is not None else "",
        "url": url,
        "tags": [tag.get_text() for tag in soup.select("a.p-category, .p-tags a")],
    }
    return Found(url, "medium", "article", raw, "article-html", hints, text=str(body))


def _same(left: str, right: str) -> bool:
    return " ".join(left.split()).rstrip("…. ") == " ".join(right.split()).rstrip("…. ")
