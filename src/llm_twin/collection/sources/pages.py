"""Fetching many article pages at once, conditionally, and telling an article from a bot check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from llm_twin.collection.http import FetchError
from llm_twin.collection.http.fetching import HTML_TYPES
from llm_twin.collection.records import EXTRACTION_VERSION, Event, Failure, Found, Gone, Unchanged
from llm_twin.collection.sources.context import Context
from llm_twin.documents import Platform

CONCURRENT_PAGES = 16
MAX_PASSES = 3  # pages that an open circuit breaker kept us from are asked for again
GONE_REASONS = ("http-404", "http-410")

# What bot checks say, in the first bytes of a page with status 200. Each phrase is one of the checks' own.
_BOT_CHECKS = (
    b"cf-browser-verification",
    b"cf_chl_opt",
    b"challenge-platform",
    b"<title>just a moment",
    b"checking your browser before",
    b"verify you are human",
    b"verifying you are human",
    b"are you a robot",
    b"please enable js and disable any ad blocker",
    b"px-captcha",
    b"captcha-delivery.com",
    b"ddos protection by",
    b"attention required! | cloudflare",
    b"performing security verification",
)
BOT_CHECK_BYTES = 30_000  # a page with an article is longer, or does not say these things so early


def is_bot_check(body: bytes) -> bool:
    """Whether a page asks for a proof of being human instead of showing anything."""
    if len(body) > 400_000:
        return False
    start = body[:BOT_CHECK_BYTES].lower()
    return any(mark in start for mark in _BOT_CHECKS) and start.count(b"<p") < 10


def other_addresses(url: str) -> list[str]:
    """Where a page may also be if its host is gone: sites move between `www.` and the bare name, old links do not."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.netloc != host or "." not in host or host.rsplit(".", 1)[1].isdigit():
        return []
    other = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
    return [urlunsplit(("https", other, parts.path, parts.query, ""))]


async def fetch_pages(
    urls: Sequence[str],
    context: Context,
    platform: Platform,
    hints: Mapping[str, Mapping[str, Any]] | None = None,
    fallback_html: Mapping[str, str] | None = None,
    optional: frozenset[str] = frozenset(),
) -> AsyncIterator[Event]:
    """Fetch pages in parallel and yield each as it comes; a page that fails falls back on the feed's own text.

    `hints` are what a feed says of a URL; `optional` URLs may turn out to be no articles.
    """
    hints, fallback_html = hints or {}, fallback_html or {}
    waiting = list(dict.fromkeys(urls))[: context.max_pages]
    for attempt in range(MAX_PASSES):
        deferred: list[str] = []
        async for event in _fetch_pass(waiting, context, platform, hints, fallback_html, optional):
            if isinstance(event, Failure) and event.reason == "circuit-open" and attempt < MAX_PASSES - 1:
                deferred.append(event.url)
            else:
                yield event
        if not deferred:
            return
        await context.fetcher.wait_until_closed(deferred[0])
        waiting = deferred


async def _fetch_pass(
    urls: Sequence[str],
    context: Context,
    platform: Platform,
    hints: Mapping[str, Mapping[str, Any]],
    fallback_html: Mapping[str, str],
    optional: frozenset[str],
) -> AsyncIterator[Event]:
    queue = iter(urls)
    pending: set[asyncio.Task[Event]] = set()
    try:
        while True:
            while len(pending) < CONCURRENT_PAGES and (url := next(queue, None)) is not None:
                work = _fetch_page(
                    url, context, platform, hints.get(url, {}), fallback_html.get(url, ""), url in optional
                )
                pending.add(asyncio.create_task(work))
            if not pending:
                return
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _fetch_page(
    url: str, context: Context, platform: Platform, hints: Mapping[str, Any], content: str, optional: bool
) -> Event:
    state = context.states.get(url)
    if state is not None and state.get("extraction") != EXTRACTION_VERSION:
        state = None
    problem: Failure
    try:
        response = await context.fetcher.get(url, state=state, fallbacks=other_addresses(url))
        if response.not_modified:
            return Unchanged(url)
        kind = response.content_type
        if kind and kind not in HTML_TYPES and not (kind.startswith("text/") and b"<html" in response.body[:2000]):
            problem = Failure(url, "not-html", f"its type is {kind}")
        elif is_bot_check(response.body):
            problem = Failure(url, "bot-check", "the page asks for a proof of being human")
        elif not response.body.strip():
            problem = Failure(url, "empty", "an empty page")
        else:
            return Found(
                url=url,
                platform=platform,
                kind="article",
                raw=response.body,
                media="html",
                guesses=dict(hints) | {"url": url},
                charset=response.charset,
                state=response.state() | {"url": url},
                optional=optional,
            )
    except FetchError as error:
        if error.reason in GONE_REASONS and not content:
            return Gone(url, error.detail) if url in context.states else Failure(url, error.reason, error.detail)
        problem = Failure(url, error.reason, error.detail)
    if content:
        return Found(
            url=url,
            platform=platform,
            kind="article",
            raw=content.encode(),
            media="article-html",
            hints=dict(hints),
        )
    return problem
