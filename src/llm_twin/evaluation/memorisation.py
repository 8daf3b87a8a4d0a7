"""How much of a text recites the training text: so that copying cannot pass for voice.

Copied n-gram coverage (the share of a text's words inside a run of `COPY_WORDS` words that the training text has
too), and the longest common run of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import BaseModel

from llm_twin.evaluation.statistics import Interval, mean_interval
from llm_twin.similarity.overlap import RunIndex
from llm_twin.similarity.tokens import hash_text

COPY_WORDS = 8
MAX_COPY_LIMIT = 0.25
MAX_RUN_WORDS = 64  # a longer run is reported as this long
EXTRACTED_WORDS = 30  # words of continuation that count as extracted (Carlini et al. 2023 take 50 tokens)


class Recital(BaseModel):
    """One text: share of its words in copied runs, and the longest run it shares with the training text."""

    copied: float
    longest_run: int
    words: int


class Memorisation(BaseModel):
    """A candidate's texts, over prompts; `flagged` are the texts above the held-out limit."""

    copied: Interval
    longest_run: int
    limit: float
    flagged: int
    texts: int
    extraction_prompts: int = 0
    extracted: int = 0  # continuations that recite EXTRACTED_WORDS words of the document


def copied_share(text: str, training: RunIndex) -> float:
    """The share of the text's words that stand in a run of COPY_WORDS words of the indexed training texts."""
    words = len(hash_text(text))
    if words < COPY_WORDS:
        return 0.0
    covered = np.zeros(words, dtype=bool)
    for start in np.flatnonzero(training.shared_runs(text, COPY_WORDS)):
        covered[start : start + COPY_WORDS] = True
    return float(covered.mean())


def measure_recital(text: str, training: RunIndex) -> Recital:
    """How much of `text` is in the indexed training texts, and its longest run in them."""
    words = len(hash_text(text))
    return Recital(copied=copied_share(text, training), longest_run=_longest_run(text, training, words), words=words)


def _longest_run(text: str, training: RunIndex, words: int) -> int:
    """By bisection: a run of n words is shared only if one of n - 1 is."""
    low, high = 0, min(words, MAX_RUN_WORDS)
    while low < high:
        middle = (low + high + 1) // 2
        if training.shared_runs(text, middle).any():
            low = middle
        else:
            high = middle - 1
    return low


def copy_limit(held_out: Iterable[float]) -> float:
    """The share of copied words above which a text is a copy: 2 %, or held-out texts' 99th percentile if higher.

    Never above MAX_COPY_LIMIT: an author who republishes has held-out texts that are copies, and is not a licence to.
    """
    shares = list(held_out)
    return min(MAX_COPY_LIMIT, max(0.02, float(np.percentile(shares, 99)) if shares else 0.0))


def measure_memorisation(texts: Sequence[str], training: RunIndex, limit: float) -> Memorisation:
    """A candidate's texts against the training texts; `limit` is that of `copy_limit`."""
    recitals = [measure_recital(text, training) for text in texts]
    return Memorisation(
        copied=mean_interval([recital.copied for recital in recitals]),
        longest_run=max(recital.longest_run for recital in recitals),
        limit=limit,
        flagged=sum(recital.copied > limit for recital in recitals),
        texts=len(recitals),
    )


def cut_attacks(documents: Sequence[str], prefix_words: int = 50, most: int = 50) -> list[tuple[str, str]]:
    """Extraction attacks: (the first words of a training document, what follows in it), at most `most`."""
    attacks = []
    for document in documents:
        words = document.split()
        if len(words) >= prefix_words + EXTRACTED_WORDS:
            attacks.append((" ".join(words[:prefix_words]), " ".join(words[prefix_words : prefix_words * 3])))
    step = max(len(attacks) / most, 1)
    return [attacks[int(number * step)] for number in range(min(most, len(attacks)))]


def count_extracted(continuations: Sequence[str], truths: Sequence[str]) -> int:
    """How many continuations recite EXTRACTED_WORDS words in a row of what really follows."""
    return sum(
        bool(RunIndex([truth]).shared_runs(text, EXTRACTED_WORDS).any())
        for text, truth in zip(continuations, truths, strict=True)
        if len(hash_text(text)) >= EXTRACTED_WORDS
    )
