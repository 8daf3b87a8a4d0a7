"""Retrieval inside the server: search, with one encoder that remembers what it saw last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_twin.embedding import Encoder
from llm_twin.retrieval.search import search
from llm_twin.serving.answering import Asked, Source
from llm_twin.serving.cache import TimedCache
from llm_twin.serving.twins import Twin
from llm_twin.stores.vectors import VectorIndex

CAPACITY = 20_000  # passages; some 30 MB of vectors at 384 dimensions
QUERIES = 5_000  # questions


class RememberingEncoder:
    """An encoder that keeps the vectors of the passages it saw last: an author's sentences come again and again.

    A passage's vector depends on nothing but its published text and the model. What people ask is theirs: the
    vectors of questions are kept in `QueryVectors`, apart for each author and scope.
    """

    def __init__(self, encoder: Encoder, capacity: int = CAPACITY) -> None:
        self.encoder, self.capacity = encoder, capacity
        self.fingerprint, self.dimension = encoder.fingerprint, encoder.dimension
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of passages: n × dimension, float32, unit length."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        known: dict[str, Any] = {text: self._get(text) for text in texts}
        missing = [text for text, vector in known.items() if vector is None]
        if missing:
            for text, vector in zip(missing, self.encoder.encode(missing), strict=True):
                known[text] = self._put(text, vector)
        return np.stack([known[text] for text in texts])

    def encode_query(self, text: str) -> np.ndarray:
        """Vector of one question; not kept."""
        return self.encoder.encode_query(text)

    def count_tokens(self, text: str) -> int:
        """How many tokens the model sees in `text`."""
        return self.encoder.count_tokens(text)

    def _get(self, text: str) -> np.ndarray | None:
        with self._lock:
            vector = self._vectors.get(text)
            if vector is not None:
                self._vectors.move_to_end(text)
            return vector

    def _put(self, text: str, vector: np.ndarray) -> np.ndarray:
        with self._lock:
            self._vectors[text] = vector
            while len(self._vectors) > self.capacity:
                self._vectors.popitem(last=False)
        return vector


@dataclass
class ScopedEncoder:
    """The encoder as one author's search sees it, with the vectors of questions from one scope."""

    inner: RememberingEncoder
    author: str
    scope: str
    queries: TimedCache[np.ndarray]
    lock: threading.Lock

    def __post_init__(self) -> None:
        self.fingerprint, self.dimension = self.inner.fingerprint, self.inner.dimension
        self.encode, self.count_tokens = self.inner.encode, self.inner.count_tokens

    def encode_query(self, text: str) -> np.ndarray:
        """Vector of one question, remembered for this author, this scope and this model."""
        key = (self.author, self.scope, self.fingerprint, text)
        with self.lock:
            known = self.queries.get(key)
        if known is not None:
            return known
        vector = self.inner.encode_query(text)
        with self.lock:
            self.queries.put(key, vector)
        return vector


def make_retrieve(
    index: VectorIndex, encoder: RememberingEncoder, ttl_seconds: float = 3600
) -> Callable[[Asked, Twin], list[Source]]:
    """What answering calls to find sources."""
    queries: TimedCache[np.ndarray] = TimedCache(QUERIES, ttl_seconds)
    lock = threading.Lock()

    def retrieve(asked: Asked, twin: Twin) -> list[Source]:
        recipe = twin.serving.retrieval
        if asked.top_k is not None:
            recipe = recipe.model_copy(update={"top_k": asked.top_k})
        scoped: Any = ScopedEncoder(encoder, twin.author.id, asked.origin.scope, queries, lock)
        hits = search(asked.question, twin.author.id, index, scoped, recipe).hits
        return [Source(hit.chunk, hit.score, hit.dense_score, hit.sparse_score) for hit in hits]

    return retrieve


def make_still_there(index: VectorIndex) -> Callable[[str, list[str]], bool]:
    """What the answer cache asks before it gives an answer again: a passage that was forgotten must not be quoted."""

    def still_there(author: str, chunk_ids: list[str]) -> bool:
        return set(chunk_ids) <= index.read_chunks(author, chunk_ids).keys()

    return still_there
