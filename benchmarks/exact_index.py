"""An index in memory that answers exactly, in a fraction of the server's time: for measuring many settings.

It has the methods of `VectorIndex` that a search calls, so that `llm_twin.retrieval.search` itself runs over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

import numpy as np
from scipy.sparse import csc_matrix

from llm_twin.documents import Chunk
from llm_twin.embedding import Encoder
from llm_twin.features.sparse import weigh_document
from llm_twin.features.vectors import embedding_text
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.known_items import KnownItem
from llm_twin.retrieval.search import search
from llm_twin.stores.vectors import Ask, Entry, Found, Layout, VectorIndex, describe_state

TIE = 1e-3  # scores nearer than this may change places: the sums are rounded in another order
REMEMBERED = 20_000  # rankings: every setting of feedback begins with the same first look


class ExactIndex:
    """Chunks, their unit vectors (n × dimension) and BM25 weights times Qdrant's inverse document frequency."""

    def __init__(self, chunks: Sequence[Chunk], dense: np.ndarray, context: str) -> None:
        self.chunks = list(chunks)
        self.dense = dense
        self.context = context  # what of a chunk's titles was embedded
        self._rows = {chunk.chunk_id: row for row, chunk in enumerate(self.chunks)}
        self._columns, self.sparse = _weigh(self.chunks, context)
        self._rank = lru_cache(REMEMBERED)(self._rank_once)

    def rank(
        self,
        author: str,
        queries: Sequence[Ask],
        filters: Any = None,
        fingerprint: str | None = None,
        hidden: Sequence[str] = (),
    ) -> list[dict[str, float]]:
        """As `VectorIndex.rank`; filters are not known here."""
        assert not filters, "the exact index filters nothing"
        found = []
        for query in queries:
            vector = None if query.dense is None else np.asarray(query.dense, np.float32).tobytes()
            terms = None if query.sparse is None else (tuple(query.sparse[0]), tuple(query.sparse[1]))
            found.append(dict(self._rank(query.limit, vector, terms, tuple(hidden))))
        return found

    def _rank_once(
        self, limit: int, vector: bytes | None, terms: tuple[Any, Any] | None, hidden: tuple[str, ...]
    ) -> dict[str, float]:
        if vector is not None:
            scores = self.dense @ np.frombuffer(vector, np.float32)
            least = -np.inf
        else:
            assert terms is not None
            known = [(self._columns[term], value) for term, value in zip(*terms, strict=True) if term in self._columns]
            scores = np.zeros(len(self.chunks), np.float32)
            for column, value in known:
                part = slice(self.sparse.indptr[column], self.sparse.indptr[column + 1])
                scores[self.sparse.indices[part]] += np.float32(value) * self.sparse.data[part]
            least = 0.0
        for chunk_id in hidden:
            scores[self._rows[chunk_id]] = -np.inf
        count = min(limit, len(scores))
        top = np.argpartition(-scores, count - 1)[:count]
        top = top[np.argsort(-scores[top], kind="stable")]
        return {self.chunks[row].chunk_id: float(scores[row]) for row in top if scores[row] > least}

    def read_chunks(self, author: str, chunk_ids: Sequence[str]) -> dict[str, Found]:
        """As `VectorIndex.read_chunks`."""
        rows = [self._rows[chunk_id] for chunk_id in chunk_ids]
        return {self.chunks[row].chunk_id: Found(self.chunks[row], 0.0, cast(Any, self.dense[row])) for row in rows}


def _weigh(chunks: Iterable[Chunk], context: str) -> tuple[dict[int, int], csc_matrix]:
    """Term index → column, and the weights; idf = ln(1 + (N - n + 0.5) / (n + 0.5)), as Qdrant computes it."""
    columns: dict[int, int] = {}
    rows, places, values = [], [], []
    for row, chunk in enumerate(chunks):
        for term, weight in zip(*weigh_document(embedding_text(chunk, context)), strict=True):
            rows.append(row)
            places.append(columns.setdefault(term, len(columns)))
            values.append(weight)
    count = max(rows, default=-1) + 1
    matrix = csc_matrix((np.array(values, np.float32), (rows, places)), shape=(count, len(columns)))
    with_term = np.diff(matrix.indptr)
    idf = np.log(1 + (count - with_term + 0.5) / (with_term + 0.5)).astype(np.float32)
    matrix.data *= np.repeat(idf, with_term)
    return columns, matrix


def check_agreement(
    index: ExactIndex, items: Sequence[KnownItem], encoder: Encoder, url: str, recipe: RetrievalRecipe
) -> int:
    """Search the same chunks in the vector server at `url`; how many queries agreed, which is all of them.

    Raises AssertionError where a query's hits differ by more than the order of equals.
    """
    layout = Layout("exact", index.dense.shape[1], "exact")
    with VectorIndex.connect(url) as real:
        collection = real.ensure_collection("exact", layout)
        for document_id, group in groupby(enumerate(index.chunks), key=lambda pair: pair[1].document_id):
            entries = [
                Entry(chunk, index.dense[row], weigh_document(embedding_text(chunk, index.context)))
                for row, chunk in group
            ]
            state = describe_state(document_id, [entry.chunk for entry in entries])
            real.write_documents(collection, [(state, entries)], ())
        real.promote("exact", collection)
        named = replace(encoder, fingerprint="exact")
        for item in items:
            theirs = search(item.query, "exact", real, named, recipe, hidden=item.hidden).hits
            ours = search(item.query, "exact", cast(VectorIndex, index), named, recipe, hidden=item.hidden).hits
            for one, other in zip(theirs, ours, strict=True):
                same = one.chunk.chunk_id == other.chunk.chunk_id
                assert same or abs(one.score - other.score) < TIE, f"the indexes differ on {item.query!r}"
    return len(items)
