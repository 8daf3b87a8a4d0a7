"""Texts as words and as sets of hashed word n-grams: what all the comparisons here compare."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import numpy as np

WORD = re.compile(r"\w+(?:['’]\w+)*")
SHINGLE_WORDS = 2  # shingles of the near-duplicate search, in words


def normalise_words(text: str) -> list[str]:
    """The words of `text` in lower case, in Unicode's compatibility form, apostrophes straight, markup dropped."""
    return [word.replace("’", "'") for word in WORD.findall(unicodedata.normalize("NFKC", text).lower())]


def hash_exact(text: str) -> bytes:
    """A 16-byte hash that is equal for texts with the same words in the same order."""
    words = normalise_words(text)
    return hashlib.blake2b(" ".join(words or [text.strip()]).encode(), digest_size=16).digest()


def hash_words(words: list[str]) -> np.ndarray:
    """One stable 64-bit hash a word (uint64, in order). Equal words have equal hashes in every process."""
    return np.fromiter((_hash_word(word) for word in words), dtype=np.uint64, count=len(words))


def hash_ngrams(words: list[str], size: int) -> np.ndarray:
    """Hashes of all runs of `size` words (uint64, in order; empty where there are fewer words)."""
    return roll_ngrams(hash_words(words), size)


def roll_ngrams(hashes: np.ndarray, size: int) -> np.ndarray:
    """Combine word hashes into hashes of their n-grams, order counting: a polynomial modulo 2**64."""
    count = len(hashes) - size + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    mixed = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed += hashes[offset : offset + count]
    return mixed ^ (mixed >> np.uint64(29))


_WORD_HASHES: dict[str, int] = {}
_MAX_WORD_HASHES = 2_000_000


def _hash_word(word: str) -> int:
    """64 bits of BLAKE2b, remembered: a language has few words and a data set repeats them."""
    known = _WORD_HASHES.get(word)
    if known is None:
        if len(_WORD_HASHES) >= _MAX_WORD_HASHES:
            _WORD_HASHES.clear()
        known = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
        _WORD_HASHES[word] = known
    return known
