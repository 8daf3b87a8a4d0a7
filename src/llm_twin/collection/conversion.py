"""From a found thing's bytes to its text and fields: pure work, done in other processes when there is much of it."""

from __future__ import annotations

from typing import Any

from llm_twin.collection.extraction import extract_page
from llm_twin.collection.extraction.fragments import render_fragment
from llm_twin.collection.extraction.languages import detect_language
from llm_twin.collection.records import Found, ItemError

Converted = tuple[str, dict[str, Any]]


def convert(found: Found) -> Converted:
    """(Markdown, Document fields) of a found thing. Raises ItemError if there is no writing in it."""
    fields: dict[str, Any] = {}
    if found.media == "html":
        page = extract_page(found.raw, found.url, found.charset)
        text = page.text
        fields = {
            "url": page.url,
            "title": page.title,
            "subtitle": page.subtitle,
            "published": page.published,
            "updated": page.updated,
            "tags": page.tags,
            "language": page.language,
        }
        if page.author:
            fields["metadata"] = {"byline": page.author}
    else:
        text = found.raw.decode("utf-8", errors="replace") if found.text is None else found.text
        if found.media == "article-html":
            text = render_fragment(text)
    if not text.strip():
        raise ItemError(found.url, "empty", "no text in it")
    if not fields.get("language") and not found.hints.get("language"):
        fields["language"] = detect_language(text)
    return text, fields
