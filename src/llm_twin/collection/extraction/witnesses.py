"""Two extractors as witnesses: which of a page's units does each of them keep?

trafilatura and readability-lxml fail on different pages. Each reads the page by itself; here their texts are
laid over the page's own units, so that whatever is kept is rendered from the page, not from their conversions.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

import readability
import trafilatura
from lxml import etree
from lxml import html as lxml_html
from lxml.html import HtmlElement

from llm_twin.collection.extraction.units import list_units, tokenize

# What pages do to parsers. One that breaks one witness is left to the other.
BREAKDOWNS = (
    *(readability.readability.Unparseable, etree.LxmlError),
    *(ValueError, TypeError, AttributeError, IndexError, KeyError, AssertionError, RecursionError),
)
GRAM = 3  # words in a row that count as found


class _Reader(readability.Document):
    """readability-lxml, given a tree instead of text."""

    def _parse(self, input: HtmlElement) -> HtmlElement:
        """A copy: its second, lenient attempt must not begin with what the first one has cut down."""
        return super()._parse(copy.deepcopy(input))

    def get_link_density(self, elem: HtmlElement) -> float:
        """The same measure with one pass over the text instead of three regular expressions: half of all its time."""
        return sum(map(_text_length, elem.findall(".//a"))) / max(1, _text_length(elem))


def _text_length(element: HtmlElement) -> int:
    return len(" ".join(element.text_content().split()))


class Coverage:
    """What one witness kept, to be asked for shares."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = list(texts)
        self.lines: Counter[tuple[str, ...]] = Counter()
        every: list[str] = []
        for text in self.texts:
            tokens = tokenize(text)
            every += tokens
            self.lines[tuple(tokens)] += 1
            if "|" in text:  # a row of a table
                self.lines.update(tuple(tokenize(cell)) for cell in text.split("|"))
        self.tokens = every
        self.grams = set(zip(every, every[1:], every[2:], strict=False))

    def share(self, tokens: list[str]) -> float:
        """The share of a unit's runs of three words that the witness kept; of a very short unit, all or nothing."""
        if len(tokens) <= GRAM:
            return float(tuple(tokens) in self.lines)
        grams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        return sum(gram in self.grams for gram in grams) / len(grams)


def ask_trafilatura(root: HtmlElement, url: str) -> Coverage:
    """What trafilatura keeps (Barbaresi 2021, ACL demo). `root` is used up; it reads the page's scripts as well."""
    try:
        found = trafilatura.bare_extraction(root, url=url, include_comments=False, with_metadata=False)
    except BREAKDOWNS:
        found = None
    text = getattr(found, "text", None) or ""
    return Coverage(text.split("\n"))


def ask_readability(root: HtmlElement) -> Coverage:
    """What readability-lxml keeps, after Arc90's Readability."""
    try:
        summary = _Reader(root).summary(html_partial=True)
        kept = lxml_html.fromstring(summary)
    except BREAKDOWNS:
        return Coverage([])
    return Coverage(unit.text for unit in list_units(kept))
