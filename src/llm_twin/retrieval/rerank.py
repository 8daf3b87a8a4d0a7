"""Order the pool anew: by what its members' neighbours score, and by a cross-encoder when one is configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from llm_twin.errors import ModelError
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.fusion import normalise_scores
from llm_twin.retrieval.records import Hit


def rerank(query: str, hits: Sequence[Hit], recipe: RetrievalRecipe) -> list[Hit]:
    """Hits in a new order, with new scores."""
    scores = np.array([hit.score for hit in hits])
    if recipe.neighbour_weight > 0 and len(hits) > 1 and all(hit.vector is not None for hit in hits):
        vectors = np.stack([hit.vector for hit in hits if hit.vector is not None])
        scores = smooth_scores(scores, vectors, recipe.neighbour_weight, recipe.neighbours)
    if recipe.cross_encoder and hits:
        judged = judge_pairs(recipe.cross_encoder, query, [hit.chunk.text for hit in hits])
        weight = recipe.cross_encoder_weight
        scores = weight * _unit(judged) + (1 - weight) * _unit(scores)
    order = np.argsort(-scores, kind="stable")
    return [replace(hits[at], score=float(scores[at])) for at in order]


def smooth_scores(scores: np.ndarray, vectors: np.ndarray, weight: float, neighbours: int) -> np.ndarray:
    """Scores mixed with those of each hit's nearest hits, by cosine (score regularization, Diaz 2005).

    What bears on a question lies close together, so a hit whose neighbours score well is likelier to bear on it.
    """
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -1.0)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(neighbours, len(scores) - 1)]
    weights = np.clip(np.take_along_axis(likeness, nearest, axis=1), 0.0, None)
    total = weights.sum(axis=1)
    around = np.divide((weights * scores[nearest]).sum(axis=1), total, out=scores.astype(float), where=total > 0)
    return (1 - weight) * scores + weight * around


def judge_pairs(model: str, query: str, texts: Sequence[str]) -> np.ndarray:
    """A cross-encoder's score of each text for the query. Raises ModelError if it cannot be loaded."""
    return np.asarray(_load_cross_encoder(model).predict([(query, text) for text in texts]), np.float64).reshape(-1)


@lru_cache(maxsize=2)
def _load_cross_encoder(name: str) -> Any:
    from sentence_transformers import CrossEncoder

    try:
        return CrossEncoder(name)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"cannot load the cross-encoder {name}: {reason}", "check the name and the hub, or leave it empty"
        ) from error


def _unit(scores: np.ndarray) -> np.ndarray:
    values = normalise_scores({str(at): float(score) for at, score in enumerate(scores)})
    return np.array(list(values.values()))
