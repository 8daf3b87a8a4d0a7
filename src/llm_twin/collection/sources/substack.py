"""Substack: feed, archive, sitemap and post pages of a publication, or its export ZIP."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from llm_twin.collection.http import FetchError
from llm_twin.collection.records import Event, Failure, Found, canonicalize_url
from llm_twin.collection.sources.archives import check_members, find_member, open_archive, read_member
from llm_twin.collection.sources.context import Context, existing_path, is_url
from llm_twin.collection.sources.exports import identify_export
from llm_twin.collection.sources.feeds import parse_feed
from llm_twin.collection.sources.pages import fetch_pages
from llm_twin.collection.sources.site import MIN_FEED_WORDS, entry_hints
from llm_twin.collection.sources.sitemaps import read_sitemaps
from llm_twin.errors import InputError, SourceError

NAME = "substack"
COMPLETE = False

ARCHIVE_PAGE = 50


def matches(location: str) -> bool:
    """A substack.com address, or a ZIP that is a Substack export. A custom domain needs `type: substack`."""
    if is_url(location):
        host = urlsplit(location).hostname or ""
        return host.endswith(".substack.com")
    return identify_export(location) == "substack"


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield a publication's posts. Raises SourceError if neither feed, archive nor sitemap answers."""
    if not is_url(location):
        for event in read_export(location, context):
            yield event
        return
    if "/p/" in urlsplit(location).path:
        async for event in fetch_pages([canonicalize_url(location)], context, "substack"):
            yield event
        return
    problems: list[Failure] = []
    hints: dict[str, dict[str, Any]] = {}
    contents: dict[str, str] = {}
    feed_url = urljoin(location, "/feed")
    try:
        response = await context.fetcher.get(feed_url)
        feed = parse_feed(response.body, feed_url)
        if feed.problem:
            problems.append(Failure(feed_url, "invalid-feed", feed.problem))
        for entry in feed.entries:
            hints[entry.url] = entry_hints(entry, feed.language) | {"subtitle": _plain(entry.summary)}
            if len(entry.content.split()) >= MIN_FEED_WORDS:
                contents[entry.url] = entry.content
    except FetchError as error:
        problems.append(Failure(feed_url, error.reason, error.detail))
    async for url, fields in _read_archive(location, context, problems):
        hints.setdefault(url, {}).update({key: value for key, value in fields.items() if value})
    listed, failures = await read_sitemaps(context.fetcher, [urljoin(location, "/sitemap.xml")], context.max_pages * 2)
    urls = [*hints, *(url for url in listed if "/p/" in urlsplit(url).path), *context.known_urls()]
    if not urls:
        reasons = "; ".join(f"{p.url}: {p.reason}" for p in [*problems, *failures]) or "nothing is listed"
        raise SourceError(f"{location}: no posts found ({reasons})", "check the address, or use the export ZIP")
    for problem in [*problems, *failures]:
        yield problem
    async for event in fetch_pages(urls, context, "substack", hints, contents):
        yield event


async def _read_archive(
    location: str, context: Context, problems: list[Failure]
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Posts by the archive's JSON, page by page. A publication without it is no failure: the feed remains."""
    offset = 0
    while offset < context.max_pages:
        url = urljoin(location, f"/api/v1/archive?sort=new&offset={offset}&limit={ARCHIVE_PAGE}")
        try:
            posts = json.loads((await context.fetcher.get(url)).body)
        except FetchError as error:
            if offset or error.reason not in ("http-404", "http-403", "robots"):
                problems.append(Failure(url, error.reason, error.detail))
            return
        except ValueError as error:
            problems.append(Failure(url, "invalid-json", str(error)))
            return
        if not isinstance(posts, list) or not posts:
            return
        for post in posts:
            if isinstance(post, dict) and is_url(str(post.get("canonical_url", ""))):
                tags = [tag.get("name", "") for tag in post.get("postTags") or [] if isinstance(tag, dict)]
                yield (
                    canonicalize_url(post["canonical_url"]),
                    {
                        "title": post.get("title"),
                        "subtitle": post.get("subtitle"),
                        "published": post.get("post_date"),
                        "tags": tags,
                    },
                )
        offset += len(posts)


def _plain(summary: str) -> str:
    return "" if "<" in summary else summary


def read_export(location: str, context: Context) -> list[Event]:
    """The published posts of an export: posts.csv and posts/ID.SLUG.html. Raises InputError if it is none."""
    path = existing_path(location)
    events: list[Event] = []
    with open_archive(path) as archive:
        members = {}
        for item in check_members(archive, location):
            if isinstance(item, Failure):
                events.append(item)
            else:
                members[item.filename] = item
        listing = find_member(list(members), "posts.csv")
        if listing is None:
            raise InputError(f"{location} is no Substack export: no posts.csv in it", "Settings, Exports on Substack")
        table = read_member(archive, members[listing], location, context.max_file_bytes)
        if isinstance(table, Failure):
            raise InputError(f"{location}: posts.csv: {table.detail}", "download the export again")
        rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig", errors="replace"))))
        if rows and not {"post_id", "is_published", "title"} <= set(rows[0]):
            raise InputError(
                f"{location}: posts.csv has the columns {sorted(str(c) for c in rows[0])}",
                "expected post_id, is_published, title, post_date",
            )
        bodies = {PurePosixPath(name).stem: info for name, info in members.items() if name.endswith(".html")}
        base = context.base_url or f"https://{context.author.id}.substack.com"
        for row in rows:
            if (row.get("is_published") or "").lower() != "true" or row.get("type") in ("podcast", "thread"):
                continue
            post_id = row["post_id"] or ""
            info = bodies.get(post_id)
            slug = post_id.partition(".")[2] or post_id
            url = canonicalize_url(urljoin(base, f"/p/{slug}"))
            if info is None:
                events.append(Failure(url, "missing-file", f"posts/{post_id}.html is not in the export"))
                continue
            raw = read_member(archive, info, location, context.max_file_bytes)
            if isinstance(raw, Failure):
                events.append(raw)
                continue
            hints = {
                "title": row.get("title"),
                "subtitle": row.get("subtitle"),
                "published": row.get("post_date"),
                "url": url,
            }
            events.append(Found(url, "substack", "article", raw, "article-html", hints))
    return events
