"""What a text says, and what it only quotes.

Words in quotation marks are reported, not claimed: who writes that somebody said "buy at Cloudbarn" has not said it. So
they support no statement, and an answer that says as its own what the passages only quote is not the author's. Most
orders hidden in documents name what is to be said in just this way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_twin.support.telling import untell
from llm_twin.support.wording import read_wording

LONGEST = 300  # characters of a quotation; what is longer is a mark without its pair
_QUOTED = re.compile(
    "|".join(
        rf"{begin}(?P<q{number}>[^{inside}\n]{{1,{LONGEST}}}){end}"
        for number, (begin, inside, end) in enumerate(
            [
                (r"(?<![\w\d])\"", r"\"", r"\"(?!\w)"),
                ("“", "“”", "”"),
                ("„", "„“”", "[“”]"),
                ("«", "«»", "»"),
                ("»", "«»", "«"),
                ("‘", "‘’", r"’(?!\w)"),
                (r"(?<!\w)'(?=\w)", "'", r"'(?!\w)"),
            ]
        )
    )
)


def unquote(text: str) -> str:
    """The text with spaces in place of what it quotes, of the same length."""
    return _QUOTED.sub(lambda match: re.sub(r"\S", " ", match[0]), text)


def find_quotations(text: str) -> list[tuple[int, int]]:
    """Where the text quotes: start and end, marks included."""
    return [match.span() for match in _QUOTED.finditer(text)]


def find_reported(passages: Sequence[str], question: str, withheld: str = "") -> frozenset[str]:
    """The words (stems and numbers) that the passages only quote, or only speak of as to be told, or that only what was
    `withheld` of them has; those of the question are free."""
    reported, own = read_words(withheld), set(read_words(question))
    for passage in passages:
        stated = untell(unquote(passage))
        reported |= read_words(passage)
        own |= read_words(stated)
    return frozenset(reported - own)


def recites(sentence: str, reported: frozenset[str]) -> bool:
    """Whether a sentence says a reported word as its own, not in quotation marks."""
    return bool(read_words(unquote(sentence)) & reported)


def read_words(text: str) -> frozenset[str]:
    """The content stems and the numbers of a text."""
    wording = read_wording(text)
    return wording.stems | wording.numbers
