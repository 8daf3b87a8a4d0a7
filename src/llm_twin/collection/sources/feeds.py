"""RSS and Atom: what a feed lists, with the whole text where the feed carries it."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import feedparser

from llm_twin.collection.records import canonicalize_url

FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json", "application/rdf+xml")


@dataclass(frozen=True)
class Entry:
    """One item of a feed; `content` is its whole HTML if the feed carries it, else empty."""

    url: str
    title: str = ""
    summary: str = ""
    published: datetime | None = None
    updated: datetime | None = None
    tags: list[str] = field(default_factory=list)
    content: str = ""
    guid: str = ""


@dataclass(frozen=True)
class Feed:
    """A feed's own title, language and site, and its entries as listed. `problem` says why it does not parse."""

    title: str = ""
    language: str = ""
    site: str = ""
    entries: list[Entry] = field(default_factory=list)
    problem: str = ""


def looks_like_feed(body: bytes, content_type: str) -> bool:
    """Whether a response is a feed, by its type or its first tag."""
    start = body[:2000].lstrip().lower()
    if b"<html" in start or b"<!doctype html" in start:
        return False
    return content_type in FEED_TYPES or any(tag in start for tag in (b"<rss", b"<feed", b"<rdf:rdf"))


def parse_feed(body: bytes, url: str) -> Feed:
    """Parse a feed leniently: what can be read of a broken one is read, and `problem` says what is wrong."""
    parsed = feedparser.parse(
        body, response_headers={"content-location": url, "content-type": "application/xml"}, sanitize_html=False
    )
    entries = [entry for item in parsed.entries if (entry := _entry(item)) is not None]
    problem = ""
    if parsed.get("bozo") and not isinstance(parsed.bozo_exception, feedparser.CharacterEncodingOverride):
        problem = " ".join(str(parsed.bozo_exception).split())
    elif not parsed.get("version"):
        problem = "neither RSS nor Atom"
    about = parsed.feed
    return Feed(
        title=about.get("title", ""),
        language=(about.get("language") or "")[:2].lower(),
        site=about.get("link", ""),
        entries=entries,
        problem=problem,
    )


def _entry(item: Any) -> Entry | None:
    link = item.get("link") or (item.get("id") if str(item.get("id", "")).startswith("http") else "")
    if not link:
        return None
    contents = [c.get("value", "") for c in item.get("content", []) if "html" in c.get("type", "html")]
    return Entry(
        url=canonicalize_url(link),
        title=item.get("title", ""),
        summary=item.get("summary", ""),
        published=_moment(item.get("published_parsed")),
        updated=_moment(item.get("updated_parsed")),
        tags=[tag.get("term", "") for tag in item.get("tags", []) if tag.get("term")],
        content=max(contents, key=len, default=""),
        guid=item.get("id", ""),
    )


def _moment(parsed: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC) if parsed else None
    except (ValueError, TypeError, OverflowError):
        return None
