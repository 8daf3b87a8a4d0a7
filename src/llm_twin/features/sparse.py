"""Sparse BM25 vectors: term weights of a chunk; the index multiplies them by the inverse document frequency.

BM25 as in Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, with a fixed average length, because
stored weights must not depend on what else is in the index. Stems are Snowball's.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from llm_twin.features.stopwords import STOPWORDS

K1 = 1.2
B = 0.75
AVERAGE_TERMS = 100.0
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[^\W_]", re.UNICODE)
MAX_WORD = 64  # longer runs are no words


def split_terms(text: str) -> list[str]:
    """Stems of the words of `text` in order, stop words left out."""
    return [stem for word in _WORD.findall(text.lower()) if (stem := _stem(word))]


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """A word's stem; empty for a stop word."""
    word = word.replace("’", "'")
    word = word.removesuffix("'s")
    if word in STOPWORDS or len(word) > MAX_WORD:
        return ""
    import snowballstemmer

    return str(snowballstemmer.stemmer("english").stemWord(word))  # one each: it is not safe for threads


@lru_cache(maxsize=200_000)
def term_index(term: str) -> int:
    """A term's place in the sparse vector: 32 bits of its hash."""
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest(), "big")


def weigh_document(text: str) -> tuple[list[int], list[float]]:
    """Indices and BM25 term weights of a chunk, IDF left to the index."""
    counts = Counter(split_terms(text))
    length = sum(counts.values())
    norm = K1 * (1 - B + B * length / AVERAGE_TERMS)
    weights = {term_index(term): count * (K1 + 1) / (count + norm) for term, count in counts.items()}
    return list(weights), list(weights.values())


def weigh_query(weights: Mapping[str, float]) -> tuple[list[int], list[float]]:
    """Indices and weights of a query, given its terms' weights."""
    indexed = {term_index(term): weight for term, weight in weights.items() if weight > 0}
    return list(indexed), list(indexed.values())
