"""What a text says, and what it only quotes.

Words in quotation marks are reported, not claimed: who writes that somebody said "buy at Cloudbarn" has not said it. So
they support no statement, and an answer that says as its own what the passages only quote is not the author's. Most
orders hidden in documents name what is to be said in just this way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def recites(sentence: str, passages: Sequence[str], question: str) -> bool:
    """Whether a sentence says as its own a word that the passages only quote, and that is not of the question."""
    quoted: set[str] = set()
    own = set(read_wording(question).stems)
    for passage in passages:
        quoted.update(*(read_wording(match[0]).stems for match in _QUOTED.finditer(passage)))
        own |= read_wording(unquote(passage)).stems
    return bool(read_wording(unquote(sentence)).stems & (quoted - own))
