"""Single pages, outside any run: extracted, and returned as plain records."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from llm_twin.collection.extraction import extract_page
from llm_twin.collection.extraction.languages import detect_language
from llm_twin.collection.http import Fetcher, FetchError
from llm_twin.collection.pool import ExtractionPool
from llm_twin.collection.records import ItemError
from llm_twin.collection.sources.context import is_url
from llm_twin.collection.sources.pages import is_bot_check

IN_FLIGHT = 64  # pages between reading and printing

Outcome = tuple[dict[str, Any] | None, str]


async def extract_all(
    pages: Sequence[str],
    allow: Sequence[str] = (),
    timeout_seconds: float = 30.0,
    requests_per_second: float = 2.0,
    workers: int | None = None,
) -> AsyncIterator[Outcome]:
    """For each page in order, (its record, "") or (None, what is wrong with it); many pages are read on all cores."""
    fetcher = Fetcher(allow_addresses=allow, timeout_seconds=timeout_seconds, requests_per_second=requests_per_second)
    with ExtractionPool(workers, len(pages)) as pool:
        async with fetcher:
            ahead: deque[asyncio.Task[Outcome]] = deque()
            try:
                for page in pages:
                    ahead.append(asyncio.create_task(_extract(page, fetcher, pool)))
                    if len(ahead) >= IN_FLIGHT:
                        yield await ahead.popleft()
                while ahead:
                    yield await ahead.popleft()
            finally:
                for task in ahead:
                    task.cancel()
                await asyncio.gather(*ahead, return_exceptions=True)


async def _extract(page: str, fetcher: Fetcher, pool: ExtractionPool) -> Outcome:
    try:
        if not is_url(page):
            return await pool.run(extract_file, page), ""
        response = await fetcher.get(page)
        if is_bot_check(response.body):
            raise ItemError(page, "bot-check", "the page asks for a proof of being human")
        return await pool.run(extract_record, response.body, response.url, response.charset), ""
    except (FetchError, ItemError) as error:
        return None, str(error)
    except OSError as error:
        return None, f"{page}: {error.strerror or error}"


def extract_file(page: str) -> dict[str, Any]:
    """The record of a page in a file. Raises OSError, ItemError."""
    path = Path(page)
    return extract_record(path.read_bytes(), path.absolute().as_uri())


def extract_record(raw: bytes, url: str, charset: str | None = None) -> dict[str, Any]:
    """title, author, published, url, language, text and what else the page says. Raises ItemError for no article."""
    page = extract_page(raw, url, charset)
    return {
        "title": page.title,
        "subtitle": page.subtitle,
        "author": page.author,
        "published": page.published or None,
        "updated": page.updated or None,
        "url": page.url,
        "language": detect_language(page.text) or page.language or None,
        "tags": page.tags,
        "text": page.text,
    }
