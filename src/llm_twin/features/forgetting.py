"""Forget documents: no query, cache or file of the features stage keeps a trace of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_twin.embedding import EmbeddingCache
from llm_twin.stores.vectors import VectorIndex


@dataclass(frozen=True)
class Forgotten:
    """What went: whether an index was rebuilt, and how many cached vectors were overwritten."""

    index_rebuilt: bool
    cached_vectors: int


def forget_documents(
    author: str, document_ids: Sequence[str], index: VectorIndex | None, cache: EmbeddingCache | None
) -> Forgotten:
    """Remove documents from the author's index and from the cache of vectors, bytes included.

    An index only marks deleted points, so the collection is copied without the documents and the old one dropped;
    readers go over at the swap of the alias. Run again after being killed, it finishes.
    """
    rebuilt = index is not None and bool(document_ids) and index.rebuild_without(author, document_ids) is not None
    removed = cache.forget(document_ids) if cache is not None else 0
    return Forgotten(rebuilt, removed)
