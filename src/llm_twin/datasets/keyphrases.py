"""Key phrases of a passage against the author's whole writing: runs of content words, weighed by how rare they are.

Candidates as in RAKE (Rose et al. 2010), weights by inverse document frequency instead of word degree.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

from llm_twin.similarity.tokens import normalise_words

MAX_PHRASE_WORDS = 3

STOPWORDS = frozenset(
    """a about above after again against all almost along already also although always am among an and another any
    anyone anything are aren't around as at away back be became because become been before began being below between
    both but by came can can't cannot come could couldn't did didn't do does doesn't doing don't done down during each
    either else enough even ever every everyone everything few first for from further gave get gets getting give go
    goes going gone good got had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers herself
    him himself his how however i i'd i'll i'm i've if in instead into is isn't it it'd it'll it's its itself just keep
    kept know knew last least less let let's like little long look lot made make makes making many may maybe me might
    mine more most much must my myself need neither never new next no nobody none nor not nothing now of off often on
    once one only onto or other others our ours out over own per perhaps put quite rather really right said same saw
    say says see seen she she's should shouldn't since so some someone something sometimes soon still such take than
    that that's the their theirs them themselves then there there's these they they'd they'll they're they've thing
    things think this those though three through thus to together too took toward two under until up upon us use used
    using very via want was wasn't way we we'd we'll we're we've well went were weren't what what's when where whether
    which while who who's whole whom whose why will with within without won't would wouldn't yes yet you you'd you'll
    you're you've your yours yourself""".split()
)
MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]+>|`[^`]*`|https?://\S+|[*_~#>|]+")
VERBAL = re.compile(r"\w*(?:ed|ing|ly|est)|\w{1,3}|(?:\w+ed|\w+ing) \w+")  # verbs, adverbs: poor topics
BREAK = re.compile(r"[.,;:!?…()\[\]{}“”\"—–/\n]+|\s[-'’]\s|\s['’‘]|['’]\s")


class PhraseWeights:
    """How rare each word is across the author's documents."""

    def __init__(self, texts: Iterable[str]) -> None:
        holders: Counter[str] = Counter()
        self._count = 0
        for text in texts:
            self._count += 1
            holders.update(set(normalise_words(text)))
        self._holders = holders

    def weight(self, word: str) -> float:
        """Inverse document frequency, smoothed; above 0."""
        return math.log((1 + self._count) / (1 + self._holders[word])) + 0.2

    def pick_phrases(self, text: str, count: int) -> list[str]:
        """The `count` phrases that tell this text apart best, in the order in which they stand in it."""
        plain = MARKUP.sub(lambda match: match[1] or " ", text)
        scores: dict[str, float] = {}
        surface: dict[str, str] = {}
        place: dict[str, int] = {}
        for fragment in BREAK.split(plain):
            for phrase in _candidates(fragment):
                key = phrase.lower()
                words = normalise_words(phrase)
                gain = sum(self.weight(word) for word in words) / len(words) ** 0.5
                scores[key] = scores.get(key, 0.0) + (gain * 0.3 if VERBAL.fullmatch(key) else gain)
                surface.setdefault(key, phrase)
                place.setdefault(key, len(place))
        chosen: list[str] = []
        for key in sorted(scores, key=lambda k: (-scores[k], place[k])):
            if len(chosen) == count:
                break
            if not any(set(key.split()) & set(other.split()) for other in chosen):
                chosen.append(key)
        return [surface[key] for key in sorted(chosen, key=lambda k: place[k])]


def _candidates(fragment: str) -> list[str]:
    """Runs of content words, each of at most MAX_PHRASE_WORDS words."""
    runs: list[str] = []
    run: list[str] = []
    for token in [*fragment.split(), ""]:
        word = token.strip("'’‘-")
        bare = word.lower().replace("’", "'")
        if len(word) > 2 and bare not in STOPWORDS and any(char.isalpha() for char in word):
            run.append(word)
            continue
        if run:
            runs.append(" ".join(run[-MAX_PHRASE_WORDS:]))
            run = []
    return runs
