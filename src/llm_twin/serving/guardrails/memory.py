"""Does a sentence repeat the author's texts word for word, beyond the passages it may quote?

A trained model can recite what it was trained on: text that was since withdrawn, or that the reader got no source
for. Runs of eight words of all the author's texts are kept as 64-bit hashes; a sentence is withheld where a long run
of it is known to them and not to the passages in hand (verbatim memorisation, Carlini et al. 2023).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import xxhash

RUN = 8  # words
_WORD = re.compile(r"\w+")


class Shingles:
    """The eight-word runs of some texts; 8 bytes each, so 12 MB for ten thousand passages."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = [_hash_runs(words_of(text)) for text in texts]
        self.hashes = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)

    def count_copied(self, text: str, quoted: str) -> int:
        """Words of the longest run in `text` that these texts hold and `quoted` does not."""
        runs = _hash_runs(words_of(text))
        if not len(runs) or not len(self.hashes):
            return 0
        at = np.searchsorted(self.hashes, runs).clip(max=len(self.hashes) - 1)
        copied = (self.hashes[at] == runs) & ~np.isin(runs, _hash_runs(words_of(quoted)))
        longest = run = 0
        for one in copied:
            run = run + 1 if one else 0
            longest = max(longest, run)
        return longest + RUN - 1 if longest else 0


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return _WORD.findall(text.lower())


def _hash_runs(words: list[str]) -> np.ndarray:
    runs = (" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1))
    return np.fromiter((xxhash.xxh3_64_intdigest(run.encode()) for run in runs), np.uint64)
