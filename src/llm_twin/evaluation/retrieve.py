"""Retrieval as evaluation asks it: a function from a query to chunk ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llm_twin.recipes import EvaluationRecipe


@contextmanager
def open_find(
    url: str, api_key: str | None, author: str, recipe: EvaluationRecipe
) -> Iterator[Callable[[str], list[str]]]:
    """A function that asks the author's index with the recipe's retrieval settings, deep enough for recall@k."""
    from llm_twin.embedding import load_encoder
    from llm_twin.retrieval.search import search
    from llm_twin.stores.vectors import VectorIndex

    encoder = load_encoder(recipe.embedder)
    deepest = max(recipe.recall_k)
    settings = recipe.retrieval.model_copy(
        update={"top_k": deepest, "candidates": max(recipe.retrieval.candidates, deepest)}
    )
    with VectorIndex.connect(url, api_key) as index:
        yield lambda query: [hit.chunk.chunk_id for hit in search(query, author, index, encoder, settings).hits]
