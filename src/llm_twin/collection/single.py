"""Single pages, outside any run: extracted, and returned as plain records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_twin.collection.extraction import extract_page
from llm_twin.collection.extraction.languages import detect_language
from llm_twin.collection.http import Fetcher, FetchError
from llm_twin.collection.records import ItemError
from llm_twin.collection.sources.context import is_url
from llm_twin.collection.sources.pages import is_bot_check


def extract_all(
    pages: Sequence[str], allow: Sequence[str] = (), timeout_seconds: float = 30.0
) -> Iterator[tuple[dict[str, Any] | None, str]]:
    """For each page in order, (its record, "") or (None, what is wrong with it)."""
    for page in pages:
        try:
            raw, url, charset = _read(page, allow, timeout_seconds)
            if is_url(page) and is_bot_check(raw):
                raise ItemError(page, "bot-check", "the page asks for a proof of being human")
            yield extract_record(raw, url, charset), ""
        except (FetchError, ItemError) as error:
            yield None, str(error)
        except OSError as error:
            yield None, f"{page}: {error.strerror or error}"


def _read(page: str, allow: Sequence[str], timeout_seconds: float) -> tuple[bytes, str, str | None]:
    if not is_url(page):
        path = Path(page)
        return path.read_bytes(), path.absolute().as_uri(), None
    return asyncio.run(_fetch(page, allow, timeout_seconds))


async def _fetch(url: str, allow: Sequence[str], timeout_seconds: float) -> tuple[bytes, str, str | None]:
    async with Fetcher(allow_addresses=allow, timeout_seconds=timeout_seconds) as fetcher:
        response = await fetcher.get(url)
        return response.body, response.url, response.charset


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
