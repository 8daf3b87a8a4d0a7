"""Sentences with their exact place in the text, so that a citation can point at characters."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st vs etc e.g i.e eg ie cf al fig no vol inc ltd co approx est dept"
    " jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)]|#{1,6}|>)\s)")
_MARKUP = re.compile(r"^\s*(?:#{1,6}|[-*+]|>|\d+[.)])\s+")
_FENCE = re.compile(r"^\s*(?:```|~~~)")


@dataclass(frozen=True)
class Sentence:
    """A sentence: `text == whole[start:end]`."""

    text: str
    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """Split Markdown prose into sentences; headings and list items count as sentences of their own.

    List marks and heading marks are left out of the span. Whitespace inside a sentence is kept, so that the
    span stays exact.
    """
    found: list[Sentence] = []
    begin = 0
    for match in _END.finditer(text):
        if _is_abbreviation(text, begin, match.start()):
            continue
        _add(text, begin, match.end(), found)
        begin = match.end()
    _add(text, begin, len(text), found)
    return found


def is_heading(text: str, sentence: Sentence) -> bool:
    """Whether the sentence is a heading's text in `text`."""
    line = text.rfind("\n", 0, sentence.start) + 1
    return text[line : sentence.start].lstrip().startswith("#")


def _add(text: str, begin: int, end: int, found: list[Sentence]) -> None:
    piece = text[begin:end]
    mark = _MARKUP.match(piece)
    start = begin + (mark.end() if mark else len(piece) - len(piece.lstrip()))
    stop = begin + len(piece.rstrip())
    if start < stop and any(c.isalnum() for c in text[start:stop]) and not _FENCE.match(text[start:stop]):
        found.append(Sentence(text[start:stop], start, stop))


def _is_abbreviation(text: str, begin: int, stop: int) -> bool:
    """Whether the full stop before `stop` belongs to an abbreviation, an initial or a list number."""
    before = text[begin:stop].rstrip("\"'”’)] ")
    if not before.endswith("."):
        return False
    last = before[:-1].rsplit(None, 1)
    word = last[-1].lstrip("(\"'“‘[").lower() if last else ""
    initial = len(word) == 1 and word.isalpha() and word != "i"
    return word in _ABBREVIATIONS or initial or (len(last) == 1 and word.isdigit())
