"""Text with its topic masked, and counts of what is left.

Each word that is not a function word becomes `a*` (or `A*` with a capital, `AA` in capitals), each digit `#`: text
distortion (Stamatatos, EACL 2017), which keeps how things are said and hides what is said. Counted are runs of 1
to 3 masked tokens, punctuation among them: on six authors they told texts of 500 words apart at AUC 0.988, where
character 3- to 5-grams of the same masked text reached 0.986 at five times the cost, and both together 0.988.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from llm_twin.evaluation.voice.words import FUNCTION_WORDS

BUCKETS = 1 << 16  # that runs of tokens are hashed into
TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d|[^\w\s]|_")
KEPT = frozenset(FUNCTION_WORDS)


def mask_tokens(text: str) -> list[str]:
    """The masked text's tokens without white space: what runs of tokens are counted over."""
    return [_mask(token) for token in TOKEN.findall(text)]


def _mask(token: str) -> str:
    if token[0].isalpha():
        if token.lower() in KEPT:
            return token
        if token[0].isupper():
            return "AA" if len(token) > 1 and token.isupper() else "A*"
        return "a*"
    return "#" if token.isdigit() else token


@cache
def _hasher() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="word",
        ngram_range=(1, 3),
        tokenizer=mask_tokens,
        token_pattern=None,
        lowercase=False,
        n_features=BUCKETS,
        alternate_sign=False,
        norm=None,
    )


def count_ngrams(texts: Sequence[str]) -> Any:
    """Hashed counts of the masked texts' runs of 1 to 3 tokens: scipy CSR, n × 2^16."""
    from scipy.sparse import csr_matrix

    return _hasher().transform(texts).tocsr() if texts else csr_matrix((0, BUCKETS))


def weigh_ngrams(counts: Any, rarity: np.ndarray) -> Any:
    """TF-IDF rows of length one: (1 + ln count) · rarity. Shape unchanged."""
    from sklearn.preprocessing import normalize

    weighed = counts.copy()
    weighed.data = (1 + np.log(weighed.data)) * rarity[weighed.indices]
    return normalize(weighed, copy=False)


def measure_rarity(counts: Any, min_texts: int = 3) -> np.ndarray:
    """Smoothed inverse document frequency of each bucket; 0 for those in fewer than `min_texts` texts."""
    frequency = np.bincount(counts.indices, minlength=BUCKETS)
    rarity = np.log((1 + counts.shape[0]) / (1 + frequency)) + 1
    rarity[frequency < min_texts] = 0.0
    return np.asarray(rarity)
