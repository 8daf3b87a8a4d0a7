"""Search: a question to the chunks that bear on it.

expansion → self-query → first look → feedback → dense and sparse search → fusion → reading → deduplication →
rerank → diversity → compression. Each step can be switched in the recipe and leaves its time and effect in the trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llm_twin.embedding import Encoder
from llm_twin.errors import InputError, StoreError
from llm_twin.features.sparse import split_terms, weigh_query
from llm_twin.features.vectors import embedding_text
from llm_twin.llm.client import LlmClient
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval import compression, diversity, expansion, rerank, selfquery
from llm_twin.retrieval.feedback import expand_terms, expand_vector
from llm_twin.retrieval.fusion import fuse
from llm_twin.retrieval.records import Hit, SearchResult, Tracer
from llm_twin.stores.vectors import Ask, Found, VectorIndex

MAX_QUERY_CHARACTERS = 10_000
ATTEMPTS = 4  # a document rewritten between ranking and reading makes the search start again


@dataclass
class _Search:
    """What the steps of one search share."""

    query: str
    author: str
    index: VectorIndex
    encoder: Encoder
    recipe: RetrievalRecipe
    filters: dict[str, Any]
    tracer: Tracer
    hidden: Sequence[str] = ()
    vector: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # of the question itself
    terms: dict[str, float] = field(default_factory=dict)

    def rank(self, vector: np.ndarray, terms: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """Dense and sparse candidates: chunk id → score, best first."""
        asks = []
        if self.recipe.fusion != "sparse":
            asks.append(Ask(self.recipe.candidates, dense=vector))
        if self.recipe.fusion != "dense":
            asks.append(Ask(self.recipe.candidates, sparse=weigh_query(terms)))
        found = self.index.rank(self.author, asks, self.filters, self.encoder.fingerprint, self.hidden)
        if self.recipe.fusion == "sparse":
            return {}, found[0]
        return found[0], found[1] if len(found) > 1 else {}


def search(
    query: str,
    author: str,
    index: VectorIndex,
    encoder: Encoder,
    recipe: RetrievalRecipe,
    filters: Mapping[str, Any] | None = None,
    llm: LlmClient | None = None,
    hidden: Sequence[str] = (),
) -> SearchResult:
    """The author's chunks that bear on `query`, best first, at most `recipe.top_k`; not those with ids `hidden`.

    Raises InputError for a query that is empty, too long or holds control characters, and for an unknown filter;
    StoreError if the index is missing, cannot be reached, or was made with another model.
    """
    tracer = Tracer()
    work = _Search(check_query(query), author, index, encoder, recipe, dict(filters or {}), tracer, hidden)
    found_filters = _find_filters(work, llm)
    _encode(work, llm)
    for attempt in range(1, ATTEMPTS + 1):
        work.filters = {**found_filters, **(filters or {})}
        hits = _find(work)
        if hits is None and attempt < ATTEMPTS:
            continue
        if not hits and found_filters:  # the question's own words filtered too much
            found_filters = {}
            continue
        break
    if hits is None:
        raise StoreError(f"the index of {author} changes faster than it can be read", "try again")
    hits = _refine(work, hits)
    return SearchResult(work.query, author, hits, tracer.steps, work.filters)


def check_query(query: str) -> str:
    """The query without blanks around it. Raises InputError with what is wrong with it."""
    query = query.strip()
    if not query:
        raise InputError("the query is empty", "ask something")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InputError(
            f"the query has {len(query):,} characters; at most {MAX_QUERY_CHARACTERS:,} are allowed", "shorten it"
        )
    if any((ord(one) < 32 and one not in "\n\r\t") or one == "\x7f" for one in query):
        raise InputError("the query holds control characters", "send plain text")
    return query


def _find_filters(work: _Search, llm: LlmClient | None) -> dict[str, Any]:
    """Filters that the question names."""
    if work.recipe.self_query == "none":
        return {}
    with work.tracer.step("self-query") as effect:
        if work.recipe.self_query == "llm" and llm is not None:
            found = selfquery.ask_filters(work.query, llm)
        else:
            found = selfquery.read_filters(work.query)
        effect |= {name: str(value) for name, value in found.items()}
    return found


def _encode(work: _Search, llm: LlmClient | None) -> None:
    """The question's vector and terms, expanded as the recipe says."""
    added: list[str] = []
    if work.recipe.expansion != "none":
        with work.tracer.step("expansion") as effect:
            if work.recipe.expansion == "llm" and llm is not None:
                added = expansion.ask_phrasings(work.query, llm)
            else:
                added = expansion.find_synonyms(work.query)
            effect["added"] = added
    with work.tracer.step("encode") as effect:
        work.vector = work.encoder.encode_query(work.query)
        work.terms = dict(Counter(split_terms(work.query)))
        for text in added:
            for term in split_terms(text):
                work.terms.setdefault(term, expansion.ADDED_WEIGHT)
        effect |= {"terms": len(work.terms), "tokens": work.encoder.count_tokens(work.query)}


def _find(work: _Search) -> list[Hit] | None:
    """Ranked and read hits; None if some were rewritten in between, which is no time to answer."""
    recipe = work.recipe
    vector, terms = work.vector, dict(work.terms)
    read: dict[str, Found] = {}
    if recipe.feedback:
        with work.tracer.step("feedback") as effect:
            dense, sparse = work.rank(vector, terms)
            first = list(fuse(dense, sparse, recipe))
            deepest = max(recipe.dense_feedback_chunks, recipe.sparse_feedback_chunks)
            read = work.index.read_chunks(work.author, first[:deepest])
            if len(read) < len(first[:deepest]):
                return None
            vector, terms = _learn(work, [read[key] for key in first[:deepest]], fuse(dense, sparse, recipe))
            effect |= {"chunks": len(read), "terms": len(terms), "added": _strongest(terms, work.terms)}
    with work.tracer.step("search") as effect:
        dense, sparse = work.rank(vector, terms)
        effect |= {"dense": len(dense), "sparse": len(sparse), "both": len(dense.keys() & sparse.keys())}
    with work.tracer.step("fuse") as effect:
        fused = fuse(dense, sparse, recipe)
        chosen = list(fused)[: max(recipe.pool, recipe.top_k)]
        effect |= {"fusion": recipe.fusion, "alpha": recipe.alpha, "candidates": len(fused)}
    with work.tracer.step("read") as effect:
        missing = [key for key in chosen if key not in read]  # most of what feedback read is found again
        read |= work.index.read_chunks(work.author, missing)
        effect["chunks"] = len(missing)
    if any(key not in read for key in chosen):
        return None
    return [_hit(work, read[key], fused[key], sparse.get(key)) for key in chosen]


def _hit(work: _Search, found: Found, score: float, sparse_score: float | None) -> Hit:
    vector = np.asarray(found.vector, np.float32)
    return Hit(found.chunk, score, round(float(vector @ work.vector), 6), sparse_score, vector=vector)


def _learn(work: _Search, read: list[Found], scores: Mapping[str, float]) -> tuple[np.ndarray, dict[str, float]]:
    """The question's vector and terms, moved towards what it found first on both sides together."""
    recipe = work.recipe
    near = [one for one in read[: recipe.dense_feedback_chunks] if one.vector is not None]
    texts = read[: recipe.sparse_feedback_chunks]
    weights = {one.chunk.chunk_id: scores[one.chunk.chunk_id] ** recipe.feedback_focus for one in read}
    terms = expand_terms(
        work.terms,
        [embedding_text(one.chunk, "headings") for one in texts],
        [weights[one.chunk.chunk_id] for one in texts],
        recipe.sparse_feedback_terms,
        recipe.sparse_feedback_weight,
    )
    vectors = [one.vector for one in near if one.vector is not None]
    shares = [weights[one.chunk.chunk_id] for one in near]
    return expand_vector(work.vector, vectors, shares, recipe.dense_feedback_weight), terms


def _strongest(terms: Mapping[str, float], own: Mapping[str, float], count: int = 8) -> list[str]:
    return sorted((term for term in terms if term not in own), key=lambda term: -terms[term])[:count]


def _refine(work: _Search, hits: list[Hit]) -> list[Hit]:
    """Deduplicate, rerank, diversify, compress."""
    recipe, tracer = work.recipe, work.tracer
    if recipe.deduplicate:
        with tracer.step("deduplicate") as effect:
            before = len(hits)
            hits = diversity.drop_duplicates(hits)
            effect["dropped"] = before - len(hits)
    if recipe.neighbour_weight > 0 or recipe.cross_encoder:
        with tracer.step("rerank") as effect:
            order = [hit.chunk.chunk_id for hit in hits[: recipe.top_k]]
            hits = rerank.rerank(work.query, hits, recipe)
            effect["moved"] = sum(
                one != hit.chunk.chunk_id for one, hit in zip(order, hits[: recipe.top_k], strict=False)
            )
    if recipe.diversity > 0:
        with tracer.step("diversify") as effect:
            order = [hit.chunk.chunk_id for hit in hits[: recipe.top_k]]
            hits = diversity.diversify(hits, recipe.diversity, recipe.top_k)
            effect["new"] = sum(hit.chunk.chunk_id not in order for hit in hits)
    hits = hits[: recipe.top_k]
    if recipe.compress:
        with tracer.step("compress") as effect:
            before = sum(len(hit.text) for hit in hits)
            compression.compress(work.vector, hits, work.encoder, recipe.compress_share)
            effect |= {"characters": before, "left": sum(len(hit.text) for hit in hits)}
    return hits
