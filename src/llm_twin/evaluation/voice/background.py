"""Whose writing the author is told from: other authors where there are any, else what ships with the project.

The shipped background is numbers, not sentences: hashed n-gram counts of topic-masked text and style vectors, made
from the prose inside the documentation of open-source packages, grouped by package (`make_shipped.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from llm_twin.errors import InputError
from llm_twin.evaluation.voice.features import Features, Pieces, featurise_documents
from llm_twin.evaluation.voice.masking import BUCKETS

SHIPPED = Path(__file__).with_name("background.npz")
SHIPPED_LENGTHS = (50, 100, 250)  # words


@dataclass(frozen=True)
class Background:
    """The pieces of each other author (or package), with pieces of `words` words among them."""

    words: int
    groups: dict[str, Pieces] = field(default_factory=dict)

    def joined(self, other: Background) -> Background:
        """Both backgrounds' groups."""
        if self.words != other.words:
            raise InputError(f"backgrounds of {self.words} and {other.words} words", "make both for one length")
        return Background(self.words, self.groups | other.groups)


def make_background(documents: Mapping[str, Sequence[Sequence[str]]], words: int) -> Background:
    """A background of other authors: author → documents → prose paragraphs (of `extract_prose`)."""
    made = {name: featurise_documents(texts, [words]) for name, texts in documents.items()}
    return Background(words, {name: pieces for name, pieces in made.items() if len(pieces.of_length(words)[0])})


def load_shipped_background(words: int) -> Background:
    """The shipped background. Raises InputError for a length that it does not hold."""
    if words not in SHIPPED_LENGTHS:
        raise InputError(
            f"the shipped background has no pieces of {words} words",
            f"take one of {', '.join(map(str, SHIPPED_LENGTHS))}, or give other authors' writing",
        )
    return Background(words, _read_shipped())


@cache
def _read_shipped() -> dict[str, Pieces]:
    from scipy.sparse import csr_matrix

    with np.load(SHIPPED, allow_pickle=False) as stored:
        belongs, lengths = stored["group"], stored["words"].astype(int)
        counts = (stored["counts"].astype(float), stored["buckets"].astype(np.int32), stored["rows"])
        features = Features(csr_matrix(counts, shape=(len(belongs), BUCKETS)), stored["styles"].astype(float))
        names = [str(name) for name in stored["names"]]
    groups = {}
    for number, name in enumerate(names):
        rows = np.flatnonzero(belongs == number)
        groups[name] = Pieces(features.take(rows), lengths[rows], np.zeros(len(rows), dtype=int))
    return groups
