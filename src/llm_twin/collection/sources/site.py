"""Any website: its feeds, its sitemaps and its pages.

A location is a feed, a single article, or a site (or a part of one: only pages under the location's path count).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml import etree
from lxml import html as lxml_html

from llm_twin.collection.http import FetchError, Response
from llm_twin.collection.records import Event, Failure, Found, canonicalize_url
from llm_twin.collection.sources.context import Context, is_url
from llm_twin.collection.sources.feeds import FEED_TYPES, Entry, Feed, looks_like_feed, parse_feed
from llm_twin.collection.sources.pages import fetch_pages, is_bot_check, other_addresses
from llm_twin.collection.sources.sitemaps import read_sitemaps
from llm_twin.documents import Platform
from llm_twin.errors import SourceError

NAME = "site"
COMPLETE = False

_LISTING = re.compile(
    r"/(tags?|category|categories|author|authors|page|search|archives?|feed|login|signup|subscribe|cart)(/|$)"
    r"|/(index|about|contact|privacy|terms|imprint)(\.html?|/)?$",
    re.IGNORECASE,
)
_NOT_PAGES = re.compile(r"\.(jpe?g|png|gif|svg|webp|pdf|zip|gz|mp[34]|css|js|xml|json|txt|ico|woff2?)$", re.IGNORECASE)
_USUAL_FEEDS = ("/feed", "/rss.xml", "/atom.xml", "/feed.xml", "/index.xml")
MIN_FEED_WORDS = 120  # a feed's own text stands in for a page only if it is more than a teaser


def matches(location: str) -> bool:
    """Any http(s) URL."""
    return is_url(location)


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield the articles of a site. Raises SourceError if its first page cannot be had."""
    try:
        first = await context.fetcher.get(location, fallbacks=other_addresses(location))
    except FetchError as error:
        raise SourceError(f"{location}: {error.reason}: {error.detail}", "check the address in a browser") from error
    feeds: list[Feed] = []
    feed_urls: list[str] = []
    if looks_like_feed(first.body, first.content_type):
        feeds.append(parse_feed(first.body, first.url))
    elif is_bot_check(first.body):
        raise SourceError(f"{location}: bot-check: it asks for a proof of being human", "use the platform's export")
    else:
        if is_article(first):
            async for event in fetch_pages([canonicalize_url(location)], context, "site"):
                yield event
            return
        feed_urls = find_feeds(first)
    async for event in collect_site(location, context, "site", feeds, feed_urls, first.url):
        yield event


async def collect_site(
    location: str, context: Context, platform: Platform, feeds: list[Feed], feed_urls: list[str], landed: str
) -> AsyncIterator[Event]:
    """Yield the pages that feeds, sitemaps and earlier runs name."""
    is_feed = bool(feeds)
    root = feeds[0].site if is_feed and is_url(feeds[0].site) else landed
    for url in feed_urls[:3] or ([] if is_feed else [urljoin(root, usual) for usual in _USUAL_FEEDS]):
        try:
            response = await context.fetcher.get(url)
        except FetchError as error:
            if url in feed_urls:
                yield Failure(url, error.reason, error.detail)
            continue
        if looks_like_feed(response.body, response.content_type) or url in feed_urls:
            feeds.append(parse_feed(response.body, response.url))
            if feeds[-1].problem:
                yield Failure(url, "invalid-feed", feeds[-1].problem)
            if not feed_urls:
                break
    if is_feed and feeds[0].problem:
        yield Failure(location, "invalid-feed", feeds[0].problem)
    entries = {entry.url: entry for feed in feeds for entry in feed.entries}
    language = next((feed.language for feed in feeds if feed.language), "")
    listed: list[str] = []
    if not is_feed:
        listed, failures = await read_sitemaps(
            context.fetcher, await _sitemaps_of(root, context), context.max_pages * 2
        )
        for failure in failures:
            yield failure
    inside = [url for url in listed if is_inside(url, root) and not _LISTING.search(urlsplit(url).path)]
    inside = [url for url in inside if not _NOT_PAGES.search(url) and urlsplit(url).path not in ("", "/")]
    known = context.known_urls()
    urls = list(dict.fromkeys([*entries, *inside, *known]))
    if not urls:
        raise SourceError(f"{location}: no feed and no sitemap that names pages", "give a feed's or an article's URL")
    hints = {url: entry_hints(entry, language) for url, entry in entries.items()}
    contents = {u: e.content for u, e in entries.items() if len(e.content.split()) >= MIN_FEED_WORDS}
    optional = frozenset(url for url in inside if url not in entries)
    async for event in fetch_pages(urls, context, platform, hints, contents, optional):
        yield event


async def _sitemaps_of(root: str, context: Context) -> list[str]:
    try:
        robots = await context.fetcher.get(urljoin(root, "/robots.txt"))
        named = re.findall(r"(?im)^\s*sitemap:\s*(\S+)", robots.body.decode("utf-8", errors="replace"))
    except FetchError:
        named = []
    return [urljoin(root, name) for name in named] or [urljoin(root, "/sitemap.xml")]


def is_inside(url: str, root: str) -> bool:
    """Whether a page lies on the root's host and under its path."""
    page, top = urlsplit(url), urlsplit(root)
    folder = top.path if top.path.endswith("/") else top.path.rsplit("/", 1)[0] + "/"
    same = (page.hostname or "").removeprefix("www.") == (top.hostname or "").removeprefix("www.")
    return same and page.path.startswith(folder)


def entry_hints(entry: Entry, language: str = "") -> dict[str, Any]:
    """What a feed says of a page, as Document fields."""
    return {
        "title": entry.title,
        "published": entry.published,
        "updated": entry.updated,
        "tags": entry.tags,
        "language": language or None,
    }


def find_feeds(response: Response) -> list[str]:
    """The feeds that a page names in its head, comment feeds left out."""
    root = _parse(response)
    if root is None:
        return []
    found = [
        urljoin(response.url, link.get("href", ""))
        for link in root.iter("link")
        if "alternate" in (link.get("rel") or "").lower() and (link.get("type") or "").lower() in FEED_TYPES
    ]
    return [url for url in dict.fromkeys(found) if "comments" not in url]


def is_article(response: Response) -> bool:
    """Whether a page says of itself that it is one article."""
    root = _parse(response)
    if root is None or urlsplit(response.url).path in ("", "/"):
        return False
    for meta in root.iter("meta"):
        if (meta.get("property") or "").lower() == "og:type":
            return (meta.get("content") or "").lower() == "article"
    if any(meta.get("property") == "article:published_time" for meta in root.iter("meta")):
        return True
    return len(list(root.iter("article"))) == 1 and len(list(root.iter("h1"))) == 1


def _parse(response: Response) -> Any:
    try:
        return lxml_html.document_fromstring(response.body, parser=lxml_html.HTMLParser(encoding=response.charset))
    except (etree.ParserError, etree.XMLSyntaxError, LookupError, ValueError):
        return None


def found_entry(entry: Entry, platform: Platform, language: str = "") -> Found:
    """A feed's entry that carries its whole text."""
    return Found(
        url=entry.url,
        platform=platform,
        kind="article",
        raw=entry.content.encode(),
        media="article-html",
        hints=entry_hints(entry, language),
    )
