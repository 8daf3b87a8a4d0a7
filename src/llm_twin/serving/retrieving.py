"""Retrieval inside the server: search, with one encoder that remembers what it saw last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llm_twin.embedding import Encoder
from llm_twin.retrieval.search import search
from llm_twin.serving.answering import Source
from llm_twin.serving.twins import Twin
from llm_twin.stores.vectors import VectorIndex

CAPACITY = 20_000  # texts; some 30 MB of vectors at 384 dimensions


class RememberingEncoder:
    """An encoder that keeps the vectors of the texts it saw last: the author's sentences come again and
    again.

    A vector depends on nothing but the text and the model, so it may be shared by all twins.
    """

    def __init__(self, encoder: Encoder, capacity: int = CAPACITY) -> None:
        self.encoder, self.capacity = encoder, capacity
        self.fingerprint, self.dimension = encoder.fingerprint, encoder.dimension
        self._vectors: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of passages: n × dimension, float32, unit length."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        known: dict[str, Any] = {text: self._get("passage", text) for text in texts}
        missing = [text for text, vector in known.items() if vector is None]
        if missing:
            for text, vector in zip(missing, self.encoder.encode(missing), strict=True):
                known[text] = self._put("passage", text, vector)
        return np.stack([known[text] for text in texts])

    def encode_query(self, text: str) -> np.ndarray:
        """Vector of one question."""
        known = self._get("query", text)
        return known if known is not None else self._put("query", text, self.encoder.encode_query(text))

    def count_tokens(self, text: str) -> int:
        """How many tokens the model sees in `text`."""
        return self.encoder.count_tokens(text)

    def _get(self, kind: str, text: str) -> np.ndarray | None:
        with self._lock:
            vector = self._vectors.get((kind, text))
            if vector is not None:
                self._vectors.move_to_end((kind, text))
            return vector

    def _put(self, kind: str, text: str, vector: np.ndarray) -> np.ndarray:
        with self._lock:
            self._vectors[(kind, text)] = vector
            while len(self._vectors) > self.capacity:
                self._vectors.popitem(last=False)
        return vector


def make_retrieve(index: VectorIndex, encoder: Any) -> Callable[[str, Twin, int | None], list[Source]]:
    """What answering calls to find sources."""

    def retrieve(question: str, twin: Twin, top_k: int | None) -> list[Source]:
        recipe = twin.serving.retrieval
        if top_k is not None:
            recipe = recipe.model_copy(update={"top_k": top_k})
        hits = search(question, twin.author.id, index, encoder, recipe).hits
        return [Source(hit.chunk, hit.score, hit.dense_score, hit.sparse_score) for hit in hits]

    return retrieve
