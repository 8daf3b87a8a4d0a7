"""Text with its topic masked, and counts of what is left.

Each word that is not a function word becomes `a*` (or `A*` with a capital, `AA` in capitals), each digit `#`: text
distortion (Stamatatos, EACL 2017), which keeps how things are said and hides what is said.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from llm_twin.evaluation.voice.words import FUNCTION_WORDS

BUCKETS = 1 << 16  # of hashed n-grams
SHORTEST, LONGEST = 3, 5  # characters
TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d|\s+|[^\w\s]|_")
KEPT = frozenset(FUNCTION_WORDS)


def mask_topic(text: str) -> str:
    """`text` with topic words, capitals' words and digits masked; white space made single, newlines kept."""
    return "".join(_mask(token) for token in TOKEN.findall(text))


def mask_tokens(text: str) -> list[str]:
    """The masked text's tokens, lower case, without white space: what trigrams are counted over."""
    return [_mask(token).lower() for token in TOKEN.findall(text) if not token.isspace()]


def _mask(token: str) -> str:
    if token[0].isalpha():
        if token.lower() in KEPT:
            return token
        if token[0].isupper():
            return "AA" if len(token) > 1 and token.isupper() else "A*"
        return "a*"
    if token.isspace():
        return "\n" if "\n" in token else " "
    return "#" if token.isdigit() else token


def count_ngrams(masked: str) -> tuple[np.ndarray, np.ndarray]:
    """Hashed character 3- to 5-grams: (buckets, ascending, int32; counts, int32). CRC-32 modulo 2^16."""
    grams = Counter(
        masked[start : start + length]
        for length in range(SHORTEST, LONGEST + 1)
        for start in range(len(masked) - length + 1)
    )
    hashed: Counter[int] = Counter()
    for gram, count in grams.items():
        hashed[zlib.crc32(gram.encode()) % BUCKETS] += count
    buckets = np.array(sorted(hashed), dtype=np.int32)
    return buckets, np.array([hashed[int(bucket)] for bucket in buckets], dtype=np.int32)


def stack_ngrams(counted: Iterable[tuple[np.ndarray, np.ndarray]]) -> Any:
    """Counts of several texts as one sparse matrix, n × 2^16 (scipy CSR, float64)."""
    from scipy.sparse import csr_matrix

    rows = list(counted)
    indptr = np.cumsum([0, *(len(buckets) for buckets, _ in rows)])
    indices = np.concatenate([buckets for buckets, _ in rows]) if rows else np.zeros(0, np.int32)
    values = np.concatenate([counts for _, counts in rows]) if rows else np.zeros(0)
    return csr_matrix((values.astype(float), indices, indptr), shape=(len(rows), BUCKETS))


def weigh_ngrams(counts: Any, rarity: np.ndarray) -> Any:
    """TF-IDF rows of length one: (1 + ln count) · rarity, L2-normalised. Shape unchanged."""
    from sklearn.preprocessing import normalize

    weighed = counts.copy()
    weighed.data = 1 + np.log(weighed.data)
    return normalize(weighed.multiply(rarity).tocsr())


def measure_rarity(counts: Any, min_texts: int = 3) -> np.ndarray:
    """Smoothed inverse document frequency of each bucket; 0 for those in fewer than `min_texts` texts."""
    total = counts.shape[0]
    frequency = np.bincount(counts.indices, minlength=BUCKETS)
    rarity = np.log((1 + total) / (1 + frequency)) + 1
    rarity[frequency < min_texts] = 0.0
    return rarity
