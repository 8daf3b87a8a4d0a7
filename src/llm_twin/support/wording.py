"""What a sentence says, as far as words can tell: content stems, numbers, names and negations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,:]\d+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|hardly|rarely|refus\w+|den(?:y|ies|ied))\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_STOPWORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each even few for from further had has
    have having he her here hers herself him himself his how i if in into is it its itself just like me
    more most much must my myself no nor not now of off on once one only or other our ours ourselves out
    over own really s same she should so some such t than that the their theirs them themselves then
    there these they this those through to too under until up upon us very was we well were what when
    where which while who whom why will with would yet you your yours yourself don't doesn't didn't
    isn't aren't wasn't weren't won't can't i'm i've i'd it's that's""".split()
)
_SMALL_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty""".split()
_TENS = "thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL_NUMBERS)} | {
    word: str(value) for value, word in zip(range(30, 100, 10), _TENS, strict=True)
}


@dataclass(frozen=True)
class Wording:
    """Content stems, numbers (as written in digits), names (lower case), and whether it is negated."""

    stems: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    negations: int


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """The English Snowball stem of a lower-case word."""
    import snowballstemmer

    return str(snowballstemmer.stemmer("english").stemWord(word))  # one each: it is not safe for threads


@lru_cache(maxsize=20_000)
def read_wording(text: str) -> Wording:
    """What `text` says, as far as words can tell."""
    stems: set[str] = set()
    names: set[str] = set()
    numbers = {_plain_number(match.group()) for match in _NUMBER.finditer(text)}
    first = True
    for match in _WORD.finditer(text):
        word = match.group().replace("’", "'")
        lower = word.lower()
        if lower in _NUMBER_WORDS and lower != "one":
            numbers.add(_NUMBER_WORDS[lower])
        elif lower not in _STOPWORDS and not lower[0].isdigit():
            stems.add(stem(lower.removesuffix("'s")))
            if word[0].isupper() and not first:
                names.add(lower.removesuffix("'s"))
        first = False
    return Wording(frozenset(stems), frozenset(numbers), frozenset(names), len(_NEGATION.findall(text)))


def _plain_number(written: str) -> str:
    """`1,200` and `1200` are the same number; `3.50` and `3.5` too."""
    plain = re.sub(r",(?=\d{3}\b)", "", written)
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
