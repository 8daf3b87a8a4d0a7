"""Pseudo-relevance feedback: what a query finds first tells more of what it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from llm_twin.features.sparse import split_terms


def expand_vector(
    query: np.ndarray, found: Sequence[Sequence[float]], scores: Sequence[float], weight: float
) -> np.ndarray:
    """The query moved towards the mean of the vectors it found first (Rocchio 1971), of unit length.

    A vector counts by its share of the scores, as a text does in RM3: what was found by far best tells most.
    """
    total = sum(scores)
    if not len(found) or total <= 0:
        return query
    shares = np.asarray(scores, np.float32) / total
    center = shares @ np.asarray(found, np.float32)
    moved = (1 - weight) * query + weight * center
    return (moved / np.linalg.norm(moved)).astype(np.float32)


def expand_terms(
    query: Mapping[str, float], texts: Sequence[str], scores: Sequence[float], count: int, weight: float
) -> dict[str, float]:
    """RM3 (Abdul-Jaleel et al. 2004): the query's terms mixed with the `count` likeliest of the texts it found.

    A term's likelihood is its share of each text, weighted with the text's share of the scores. Both sides sum to
    one before they are mixed.
    """
    whole = sum(query.values()) or 1.0
    expanded = {term: (1 - weight) * value / whole for term, value in query.items()}
    total = sum(scores)
    if not texts or total <= 0:
        return expanded
    model: dict[str, float] = {}
    for text, score in zip(texts, scores, strict=True):
        counts = Counter(split_terms(text))
        length = sum(counts.values()) or 1
        for term, times in counts.items():
            model[term] = model.get(term, 0.0) + times / length * score / total
    best = sorted(model.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
    mass = sum(value for _, value in best) or 1.0
    for term, value in best:
        expanded[term] = expanded.get(term, 0.0) + weight * value / mass
    return expanded
