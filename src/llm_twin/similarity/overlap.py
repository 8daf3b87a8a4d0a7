"""Which runs of words one text shares with others: what decontamination and leak reports count."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np

from llm_twin.similarity.tokens import hash_text, normalise_words, roll_runs


class RunIndex:
    """The word runs of a set of texts, to ask which runs of another text are among them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._words = [hash_text(text) for text in texts]
        self._known: dict[int, np.ndarray] = {}

    def shared_runs(self, text: str, size: int) -> np.ndarray:
        """For each run of `size` words in `text`, whether an indexed text has it too (bool, in order).

        A text of fewer words is one run of all its words; an empty one has none.
        """
        words = hash_text(text)
        size = min(size, len(words))
        if not size:
            return np.empty(0, dtype=bool)
        known = self._runs(size)
        runs = roll_runs(words, size)
        if not len(known):
            return np.zeros(len(runs), dtype=bool)
        return known[np.minimum(np.searchsorted(known, runs), len(known) - 1)] == runs

    def share(self, text: str, size: int) -> float:
        """The share (0 to 1) of the text's runs of `size` words that are among the indexed ones."""
        shared = self.shared_runs(text, size)
        return float(shared.mean()) if len(shared) else 0.0

    def first_shared_run(self, text: str, size: int) -> str:
        """The first run of `size` words that is shared, as normalised words; empty if there is none."""
        shared = self.shared_runs(text, size)
        if not shared.any():
            return ""
        start = int(shared.argmax())
        return " ".join(normalise_words(text)[start : start + size])

    def _runs(self, size: int) -> np.ndarray:
        if size not in self._known:
            runs = [roll_runs(words, size) for words in self._words]
            self._known[size] = np.unique(np.concatenate(runs)) if runs else np.empty(0, dtype=np.uint64)
        return self._known[size]


def word_distance(first: str, second: str) -> float:
    """1 minus difflib's ratio over words: 0 for the same words in the same order, 1 for none in common."""
    matcher = difflib.SequenceMatcher(None, normalise_words(first), normalise_words(second), autojunk=False)
    return 1.0 - matcher.ratio()
