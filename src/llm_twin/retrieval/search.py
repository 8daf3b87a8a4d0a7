"""Search: a question to the chunks that bear on it.

query → first look → feedback → dense and sparse search → fusion. Every step leaves its time and effect in the trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_twin.embedding import Encoder
from llm_twin.errors import InputError
from llm_twin.features.sparse import split_terms, weigh_query
from llm_twin.features.vectors import embedding_text
from llm_twin.recipes import RetrievalRecipe
from llm_twin.retrieval.feedback import expand_terms, expand_vector
from llm_twin.retrieval.fusion import fuse_ranks, fuse_weighted
from llm_twin.retrieval.records import Hit, SearchResult, Tracer
from llm_twin.stores.vectors import Ask, Found, VectorIndex

MAX_QUERY_CHARACTERS = 10_000


def search(
    query: str,
    author: str,
    index: VectorIndex,
    encoder: Encoder,
    recipe: RetrievalRecipe,
    filters: Mapping[str, Any] | None = None,
) -> SearchResult:
    """The author's chunks that bear on `query`, best first, at most `recipe.top_k`.

    Raises InputError for a query that is empty, too long or holds control characters, and for an unknown filter;
    StoreError if the index is missing, cannot be reached, or was made with another model.
    """
    query = check_query(query)
    chosen = dict(filters or {})
    tracer = Tracer()
    with tracer.step("encode") as effect:
        vector = encoder.encode_query(query)
        terms: dict[str, float] = dict(Counter(split_terms(query)))
        effect["terms"] = len(terms)
    if recipe.feedback:
        with tracer.step("feedback") as effect:
            vector, terms = _expand(vector, terms, author, index, encoder, recipe, chosen)
            effect["terms"] = len(terms)
    with tracer.step("search") as effect:
        asks = [Ask(recipe.candidates, dense=vector), Ask(recipe.candidates, sparse=weigh_query(terms))]
        dense, sparse = index.ask(author, asks, chosen, encoder.fingerprint)
        effect |= {"dense": len(dense), "sparse": len(sparse)}
    with tracer.step("fuse") as effect:
        hits = fuse(dense, sparse, recipe)[: recipe.top_k]
        effect["hits"] = len(hits)
    return SearchResult(query, author, hits, tracer.steps, chosen)


def check_query(query: str) -> str:
    """The query without blanks around it. Raises InputError with what is wrong with it."""
    query = query.strip()
    if not query:
        raise InputError("the query is empty", "ask something")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"the query has {len(query):,} characters; at most {MAX_QUERY_CHARACTERS:,} are allowed", "shorten it"
        )
    bad = next((character for character in query if ord(character) < 32 and character not in "\n\r\t"), None)
    if bad is not None or "\x7f" in query:
        raise InputError("the query holds control characters", "send plain text")
    return query


def _expand(
    vector: np.ndarray,
    terms: dict[str, float],
    author: str,
    index: VectorIndex,
    encoder: Encoder,
    recipe: RetrievalRecipe,
    filters: dict[str, Any],
) -> tuple[np.ndarray, dict[str, float]]:
    asks = [
        Ask(recipe.dense_feedback_chunks, dense=vector, with_vectors=True),
        Ask(recipe.sparse_feedback_chunks, sparse=weigh_query(terms)),
    ]
    dense, sparse = index.ask(author, asks, filters, encoder.fingerprint)
    moved = expand_vector(vector, [one.vector for one in dense if one.vector], recipe.dense_feedback_weight)
    texts = [embedding_text(one.chunk, "headings") for one in sparse]
    mixed = expand_terms(
        terms, texts, [one.score for one in sparse], recipe.sparse_feedback_terms, recipe.sparse_feedback_weight
    )
    return moved, mixed


def fuse(dense: list[Found], sparse: list[Found], recipe: RetrievalRecipe) -> list[Hit]:
    """Both rankings as one, best first; of a document that is being rewritten only its newer revision."""
    left = {one.chunk.chunk_id: one.score for one in dense}
    right = {one.chunk.chunk_id: one.score for one in sparse}
    if recipe.fusion == "dense":
        scores = left
    elif recipe.fusion == "sparse":
        scores = right
    elif recipe.fusion == "rrf":
        scores = fuse_ranks([list(left), list(right)])
    else:
        scores = fuse_weighted(left, right, recipe.alpha)
    chunks = {one.chunk.chunk_id: one.chunk for one in [*dense, *sparse]}
    order = sorted(scores, key=lambda key: (-scores[key], key))
    return [Hit(chunks[key], scores[key], left.get(key), right.get(key)) for key in order]
