"""Join a dense and a sparse ranking into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_twin.recipe_serving import RetrievalRecipe

RRF_K = 60


def fuse(dense: Mapping[str, float], sparse: Mapping[str, float], recipe: RetrievalRecipe) -> dict[str, float]:
    """Both sides' candidates with one score each, best first (ties by id)."""
    if recipe.fusion == "dense":
        scores = dict(dense)
    elif recipe.fusion == "sparse":
        scores = dict(sparse)
    elif recipe.fusion == "rrf":
        scores = fuse_ranks([list(dense), list(sparse)])
    else:
        scores = fuse_weighted(dense, sparse, recipe.alpha)
    return dict(sorted(scores.items(), key=lambda pair: (-pair[1], pair[0])))


def fuse_weighted(dense: Mapping[str, float], sparse: Mapping[str, float], alpha: float) -> dict[str, float]:
    """Scores of both sides brought to 0…1 by their least and greatest, then `alpha` × dense + the rest × sparse.

    What one side did not find counts there as its least.
    """
    left, right = normalise_scores(dense), normalise_scores(sparse)
    return {key: alpha * left.get(key, 0.0) + (1 - alpha) * right.get(key, 0.0) for key in {**left, **right}}


def fuse_ranks(rankings: Sequence[Sequence[str]], weights: Sequence[float] | None = None) -> dict[str, float]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009)."""
    scores: dict[str, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (RRF_K + rank)
    return scores


def normalise_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores brought to 0…1; all 1 where they are equal."""
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    width = high - low
    return {key: (score - low) / width if width > 0 else 1.0 for key, score in scores.items()}
