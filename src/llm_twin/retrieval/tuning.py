"""Fit retrieval's settings to a corpus by known-item queries, with cross-validation.

One setting after the other is tried at a few values (coordinate descent); a change is kept only where it gains on
the held-out folds, and the result is never one that finds less than plain dense search does.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_twin.embedding import Encoder
from llm_twin.errors import InputError
from llm_twin.progress import track
from llm_twin.recipes import RetrievalRecipe
from llm_twin.retrieval.known_items import KnownItem, make_known_items
from llm_twin.retrieval.search import search
from llm_twin.stores.vectors import VectorIndex

DEPTH = 10  # of the reciprocal rank
FOLDS = 5
MIN_QUERIES = 20
MIN_GAIN = 0.002
DENSE = {"fusion": "dense", "feedback": False, "neighbour_weight": 0.0, "deduplicate": False}
GRID: dict[str, list[Any]] = {
    "fusion": ["weighted", "rrf"],
    "alpha": [0.3, 0.4, 0.5, 0.6, 0.7],
    "feedback": [True, False],
    "sparse_feedback_weight": [0.3, 0.5],
    "dense_feedback_weight": [0.3, 0.5],
    "neighbour_weight": [0.0, 0.1, 0.2],
    "candidates": [50, 100],
}


@dataclass(frozen=True)
class Tuned:
    """What tuning found: the settings, and MRR@10 of dense search, of the settings before and after, held out."""

    recipe: RetrievalRecipe
    queries: int
    dense: float
    before: float
    after: float
    tried: list[tuple[str, float]]


def tune(
    author: str, index: VectorIndex, encoder: Encoder, recipe: RetrievalRecipe, max_queries: int = 100, seed: int = 20
) -> Tuned:
    """Settings for the author's corpus. Raises InputError where there are too few documents to make queries of."""
    items = make_known_items(index.iterate_chunks(author), max_queries, seed)
    if len(items) < MIN_QUERIES:
        raise InputError(
            f"{len(items)} queries could be made of {author}'s documents; tuning needs {MIN_QUERIES}",
            "collect more documents of two chunks or more, or keep the defaults",
        )
    measured: dict[str, list[float]] = {}

    def ranks(candidate: RetrievalRecipe) -> list[float]:
        key = candidate.model_dump_json()
        if key not in measured:
            measured[key] = measure_ranks(items, author, index, encoder, candidate)
        return measured[key]

    tried: list[tuple[str, float]] = []
    best = recipe
    steps = [(name, value) for name, values in GRID.items() for value in values]
    for name, value in track(steps, "settings", len(steps)):
        candidate = best.model_copy(update={name: value})
        if candidate == best:
            continue
        gain = held_out_gain(ranks(best), ranks(candidate))
        tried.append((f"{name}={value}", statistics.fmean(ranks(candidate))))
        if gain > MIN_GAIN:
            best = candidate
    dense = recipe.model_copy(update=DENSE)
    if statistics.fmean(ranks(best)) < statistics.fmean(ranks(dense)):
        best = dense
    first, before, after = (statistics.fmean(ranks(one)) for one in (dense, recipe, best))
    return Tuned(best, len(items), first, before, after, tried)


def measure_ranks(
    items: Sequence[KnownItem], author: str, index: VectorIndex, encoder: Encoder, recipe: RetrievalRecipe
) -> list[float]:
    """Reciprocal rank of each item's document within ten documents, its source chunk left out; 0 beyond."""
    deep = recipe.model_copy(update={"top_k": min(max(recipe.pool, 30), 100), "self_query": "none"})
    found = []
    for item in items:
        hits = search(item.query, author, index, encoder, deep).hits
        documents = list(
            dict.fromkeys(hit.chunk.document_id for hit in hits if hit.chunk.chunk_id != item.source_chunk)
        )[:DEPTH]
        found.append(1 / (documents.index(item.document_id) + 1) if item.document_id in documents else 0.0)
    return found


def held_out_gain(before: Sequence[float], after: Sequence[float]) -> float:
    """Mean gain over folds in which the rest agrees that `after` is better; a fold where it does not counts 0."""
    gains = []
    for fold in range(FOLDS):
        held = range(fold, len(before), FOLDS)
        rest = [at for at in range(len(before)) if at % FOLDS != fold]
        chosen = statistics.fmean(after[at] - before[at] for at in rest) > 0
        gains.append(statistics.fmean(after[at] - before[at] for at in held) if chosen else 0.0)
    return statistics.fmean(gains)
