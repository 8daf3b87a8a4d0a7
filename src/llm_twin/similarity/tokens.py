"""Texts as words and as hashed word runs: what all the comparisons here compare."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import xxhash

WORD = re.compile(r"\w+(?:['’]\w+)*")  # as people count words
SHINGLE_WORDS = 2  # shingles of the near-duplicate search, in words
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
APOSTROPHES = re.compile("['’]")
# ASCII: letters in lower case, digits and _ stay, apostrophes go, all else parts words.
ASCII_WORDS = bytes(ord(chr(code).lower()) if chr(code).isalnum() or chr(code) == "_" else 32 for code in range(128))
ASCII_WORDS += bytes(range(128, 256))


def normalise_words(text: str) -> list[str]:
    """The words of `text` in lower case, in Unicode's compatibility form, without apostrophes and punctuation."""
    return [word.decode() for word in _split_words(text)]


def hash_words(words: Sequence[bytes]) -> np.ndarray:
    """One stable 64-bit hash (XXH3) a word, uint64, in order: equal in every process and on every machine."""
    return np.fromiter(map(xxhash.xxh3_64_intdigest, words), dtype=np.uint64, count=len(words))


def hash_text(text: str) -> np.ndarray:
    """The hashes of a text's normalised words, in order."""
    return hash_words(_split_words(text))


def _split_words(text: str) -> list[bytes]:
    """`normalise_words` as UTF-8. The short way for ASCII gives what the long way would, three times as fast."""
    if text.isascii():
        return text.encode().translate(ASCII_WORDS, b"'").split()
    plain = APOSTROPHES.sub("", unicodedata.normalize("NFKC", text).lower())
    return [word.encode() for word in re.findall(r"\w+", plain)]


def hash_texts(texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """The word hashes of many texts in one array (uint64), and where each text begins in it (int64, one more)."""
    hashes: list[np.ndarray] = []
    lengths: list[int] = [0]
    for text in texts:
        words = hash_text(text)
        hashes.append(words)
        lengths.append(len(words))
    flat = np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64)
    return flat, np.cumsum(lengths, dtype=np.int64)


def roll_runs(hashes: np.ndarray, size: int) -> np.ndarray:
    """Combine word hashes into hashes of their runs of `size` words, order counting: a polynomial modulo 2**64."""
    count = len(hashes) - size + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    mixed = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        mixed *= MULTIPLIER
        mixed += hashes[offset : offset + count]
    return mixed ^ (mixed >> np.uint64(29))


def hash_runs(text: str, size: int) -> np.ndarray:
    """Hashes of all runs of `size` words of `text` (uint64, in order; empty where there are fewer words)."""
    return roll_runs(hash_text(text), size)
