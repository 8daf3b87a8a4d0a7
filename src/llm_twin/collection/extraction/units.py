"""The units that extraction votes on: elements that own text of their own, in reading order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml.html import HtmlElement

from llm_twin.collection.extraction.markdown import BLOCK_TAGS, HEADINGS, SKIPPED_TAGS

# Scripts that set no spaces between words: each of their letters is a token.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass
class Unit:
    """One element's own text: a paragraph, heading, list item, code block or cell."""

    element: HtmlElement
    text: str
    tokens: list[str]
    link_tokens: int
    position: int = 0
    path: tuple[HtmlElement, ...] = field(default=(), repr=False)


def tokenize(text: str) -> list[str]:
    """Words and numbers, in lower case."""
    return _TOKEN.findall(text.casefold())


def list_units(root: HtmlElement) -> list[Unit]:
    """All units below `root` that hold at least one word."""
    units: list[Unit] = []
    for element, text, linked in _walk(root):
        tokens = tokenize(text)
        if tokens:
            units.append(Unit(element, text, tokens, len(tokenize(linked)), len(units)))
    return units


def _walk(element: HtmlElement) -> Iterator[tuple[HtmlElement, str, str]]:
    """(owner, its text, the part of it inside links); blocks inside come as units of their own."""
    if element.tag == "pre" or element.tag in HEADINGS:
        between = " " if element.tag == "pre" or element.find(".//br") is not None else ""
        text = between.join(element.itertext())
        yield element, text, " ".join(t for a in element.iter("a") for t in a.itertext())
        return
    own: list[str] = []
    linked: list[str] = []
    below: list[HtmlElement] = []
    _gather(element, own, linked, below, element.tag == "a")
    text = "".join(own)
    if text.strip():
        yield element, text, " ".join(linked)
    for child in below:
        yield from _walk(child)


def _gather(element: HtmlElement, own: list[str], linked: list[str], below: list[HtmlElement], in_link: bool) -> None:
    """Collect an element's inline text; block elements, and inline ones that hold blocks, go to `below`."""
    own.append(element.text or "")
    if in_link:
        linked.append(element.text or "")
    for child in element:
        if isinstance(child.tag, str) and child.tag not in SKIPPED_TAGS:
            if child.tag in BLOCK_TAGS or _holds_blocks(child):
                below.append(child)
                own.append(" ")
            elif child.tag == "br":
                own.append(" ")
            else:
                _gather(child, own, linked, below, in_link or child.tag == "a")
        own.append(child.tail or "")
        if in_link:
            linked.append(child.tail or "")


def _holds_blocks(element: HtmlElement) -> bool:
    return any(isinstance(child.tag, str) and child.tag in BLOCK_TAGS for child in element.iterdescendants())
