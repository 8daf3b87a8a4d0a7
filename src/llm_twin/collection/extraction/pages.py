"""Extract one page: its text in Markdown, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from llm_twin.collection.records import ItemError


@dataclass(frozen=True)
class Page:
    """What a page holds. `published` is ISO 8601 text as found; `text` is Markdown."""

    url: str
    title: str = ""
    subtitle: str = ""
    author: str = ""
    published: str = ""
    updated: str = ""
    language: str = ""
    tags: list[str] = field(default_factory=list)
    text: str = ""


def extract_page(raw: bytes, url: str, charset: str | None = None) -> Page:
    """Extract an article from a page's bytes. Raises ItemError if there is none."""
    import trafilatura

    found = trafilatura.extract(
        raw, url=url, output_format="json", with_metadata=True, include_comments=False, include_formatting=True
    )
    text = trafilatura.extract(raw, url=url, output_format="markdown", include_comments=False)
    if not found or not text:
        raise ItemError(url, "empty", "no article in this page")
    fields = json.loads(found)
    return Page(
        url=url,
        title=fields.get("title") or "",
        author=fields.get("author") or "",
        published=fields.get("date") or "",
        tags=[t.strip() for t in (fields.get("tags") or "").split(",") if t.strip()],
        language=(fields.get("language") or "")[:2],
        text=text,
    )
