"""Fit retrieval's settings to a corpus by known-item queries, with cross-validation.

One setting after the other is tried at a few values (coordinate descent, until a round changes nothing); a change is
kept only where it gains on the held-out folds, and the result never finds less than plain dense search does.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_twin.embedding import Encoder
from llm_twin.errors import InputError
from llm_twin.progress import report, track
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.known_items import KnownItem, make_known_items
from llm_twin.retrieval.search import search
from llm_twin.stores.vectors import VectorIndex

DEPTH = 10
FOLDS = 5
MIN_QUERIES = 20
MIN_GAIN = 0.002
MAX_ROUNDS = 3
DENSE = {"fusion": "dense", "feedback": False, "neighbour_weight": 0.0, "deduplicate": False}
GRID: dict[str, list[Any]] = {  # on both sides of each default, so that none is best for want of a further value
    "fusion": ["weighted", "rrf"],
    "alpha": [0.3, 0.4, 0.5, 0.6, 0.7],
    "feedback": [True, False],
    "feedback_focus": [1.0, 2.0, 4.0, 6.0],
    "dense_feedback_weight": [0.3, 0.5, 0.6, 0.7],
    "dense_feedback_chunks": [2, 3, 5, 10],
    "sparse_feedback_weight": [0.3, 0.5, 0.7],
    "sparse_feedback_terms": [5, 10, 20, 40],
    "neighbour_weight": [0.0, 0.2, 0.4, 0.5, 0.6, 0.7],
}


@dataclass(frozen=True)
class Tuned:
    """What tuning found: the settings, and nDCG@10 of dense search, of the settings before and after."""

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
    return fit(lambda candidate: measure_gains(items, author, index, encoder, candidate), recipe, assign_folds(items))


def fit(
    measure: Callable[[RetrievalRecipe], list[float]],
    recipe: RetrievalRecipe,
    folds: Sequence[int],
    grid: Mapping[str, Sequence[Any]] = GRID,
    min_gain: float = MIN_GAIN,
) -> Tuned:
    """The settings that `measure` (a value for each query, always in the same order) says are best, beginning with
    `recipe`. `folds` says in which fold each query is held out."""
    measured: dict[str, list[float]] = {}

    def values(candidate: RetrievalRecipe) -> list[float]:
        key = candidate.model_dump_json()
        if key not in measured:
            measured[key] = measure(candidate)
        return measured[key]

    tried: list[tuple[str, float]] = []
    best = recipe
    steps = [(name, value) for name, choices in grid.items() for value in choices]
    for number in range(MAX_ROUNDS):
        begun = best
        for name, value in track(steps, f"settings, round {number + 1}", len(steps)):
            candidate = best.model_copy(update={name: value})
            if candidate == best or (name.endswith(_OF_FEEDBACK) and not best.feedback):
                continue
            gain = held_out_gain(values(best), values(candidate), folds)
            tried.append((f"{name}={value}", statistics.fmean(values(candidate))))
            if gain > min_gain:
                best = candidate
                report(f"kept: {name}={value}, {statistics.fmean(values(best)):.4f}")
        if best == begun:
            break
    dense = recipe.model_copy(update=DENSE)
    if statistics.fmean(values(best)) < statistics.fmean(values(dense)):
        best = dense
    first, before, after = (statistics.fmean(values(one)) for one in (dense, recipe, best))
    return Tuned(best, len(values(best)), first, before, after, tried)


_OF_FEEDBACK = ("_feedback_weight", "_feedback_chunks", "_feedback_terms", "feedback_focus")


def measure_gains(
    items: Sequence[KnownItem], author: str, index: VectorIndex, encoder: Encoder, recipe: RetrievalRecipe
) -> list[float]:
    """nDCG@10 of each item: its answers found, its own text hidden."""
    asked = recipe.model_copy(update={"top_k": DEPTH, "self_query": "none", "compress": False})
    found = []
    for item in items:
        hits = search(item.query, author, index, encoder, asked, hidden=item.hidden).hits
        gain = sum(1 / math.log2(at + 2) for at, hit in enumerate(hits) if hit.chunk.chunk_id in item.answers)
        found.append(gain / sum(1 / math.log2(at + 2) for at in range(min(DEPTH, len(item.answers)))))
    return found


def assign_folds(items: Sequence[KnownItem]) -> list[int]:
    """In which fold each query is held out; a document's queries, which are alike, all in the same."""
    number = {document: at for at, document in enumerate(dict.fromkeys(item.document_id for item in items))}
    return [number[item.document_id] % FOLDS for item in items]


def held_out_gain(before: Sequence[float], after: Sequence[float], folds: Sequence[int]) -> float:
    """Mean gain over folds in which the rest agrees that `after` is better; a fold where it does not counts 0."""
    gains = [new - old for old, new in zip(before, after, strict=True)]
    means = []
    for fold in sorted(set(folds)):
        held = [gain for gain, own in zip(gains, folds, strict=True) if own == fold]
        rest = [gain for gain, own in zip(gains, folds, strict=True) if own != fold]
        means.append(statistics.fmean(held) if rest and statistics.fmean(rest) > 0 else 0.0)
    return statistics.fmean(means)
