"""Retrieval as evaluation asks it: a function from a query to chunk ids, and the encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llm_twin.recipes import EvaluationRecipe
from llm_twin.retrieval.records import Hit


@dataclass(frozen=True)
class Retrieval:
    """`find`: query → chunk ids, best first; `encoder`: what texts are compared with; `search`: query → hits."""

    find: Callable[[str], Sequence[str]]
    encoder: Any
    search: Callable[[str], Sequence[Hit]] = lambda query: []


@contextmanager
def open_retrieval(url: str, api_key: str | None, author: str, recipe: EvaluationRecipe) -> Iterator[Retrieval]:
    """The author's index with the recipe's retrieval settings, deep enough for recall@k."""
    from llm_twin.embedding import load_encoder
    from llm_twin.retrieval.search import search
    from llm_twin.stores.vectors import VectorIndex

    encoder = load_encoder(recipe.embedder)
    deepest = max(recipe.recall_k)
    settings = recipe.retrieval.model_copy(
        update={"top_k": deepest, "candidates": max(recipe.retrieval.candidates, deepest)}
    )
    with VectorIndex.connect(url, api_key) as index:

        def find_hits(query: str) -> list[Hit]:
            return search(query, author, index, encoder, settings).hits

        yield Retrieval(lambda query: [hit.chunk.chunk_id for hit in find_hits(query)], encoder, find_hits)
