"""What goes into the vector index and what comes out, as records and in Qdrant's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client import models

from llm_twin.digests import digest_json
from llm_twin.documents import Chunk

DENSE, SPARSE = "dense", "sparse"
SCHEMA_VERSION = 1
Sparse = tuple[list[int], list[float]]  # indices, values


@dataclass(frozen=True)
class Layout:
    """What a collection's vectors are made with; another layout is another collection."""

    fingerprint: str  # of the encoder
    dimension: int
    settings: str  # digest of what else shapes chunks and vectors

    @property
    def digest(self) -> str:
        """Twelve hexadecimal characters that name it."""
        return digest_json([SCHEMA_VERSION, self.fingerprint, self.dimension, self.settings])[:12]


@dataclass(frozen=True)
class Entry:
    """A chunk with its vectors."""

    chunk: Chunk
    dense: Sequence[float] | np.ndarray
    sparse: Sparse


@dataclass(frozen=True)
class Found:
    """A chunk that a query found; `vector` is its dense vector where asked for."""

    chunk: Chunk
    score: float
    vector: list[float] | None = None


@dataclass(frozen=True)
class Ask:
    """One query: by a dense vector, or by a sparse one."""

    limit: int
    dense: Sequence[float] | np.ndarray | None = None
    sparse: Sparse | None = None
    with_vectors: bool = False


def describe_state(document_id: str, chunks: Sequence[Chunk]) -> str:
    """What a document's chunks are, in one string that each of its points carries: id, source, number, digest.

    The source names the record that the chunks were cut from, so a document that has not changed is known without
    cutting it again.
    """
    first = chunks[0]
    source = f"{first.revision_id}-{first.metadata.get('source', '')}"
    content = digest_json([chunk.model_dump(mode="json") for chunk in chunks])[:16]
    return f"{document_id}:{source}:{len(chunks)}:{content}"


def to_point(state: str, entry: Entry) -> models.PointStruct:
    vector: dict[str, Any] = {DENSE: np.asarray(entry.dense, np.float32).tolist()}
    indices, values = entry.sparse
    if indices:
        vector[SPARSE] = models.SparseVector(indices=indices, values=values)
    payload = entry.chunk.model_dump(mode="json", exclude={"chunk_id"}) | {"document_state": state}
    return models.PointStruct(id=entry.chunk.chunk_id, vector=vector, payload=payload)


def to_stale_filter(state: str) -> models.Filter:
    """The document's points that are of another state."""
    document = models.MatchValue(value=state.split(":", 1)[0])
    return models.Filter(
        must=[models.FieldCondition(key="document_id", match=document)],
        must_not=[models.FieldCondition(key="document_state", match=models.MatchValue(value=state))],
    )


def copy_point(point: Any) -> models.PointStruct:
    return models.PointStruct(id=point.id, vector=point.vector, payload=point.payload)


def to_request(query: Ask, chosen: models.Filter | None, with_payload: bool) -> models.QueryRequest:
    vector: Any
    if query.sparse is not None:
        vector = models.SparseVector(indices=query.sparse[0], values=query.sparse[1])
    else:
        vector = np.asarray(query.dense, np.float32).tolist()
    return models.QueryRequest(
        query=vector,
        using=DENSE if query.sparse is None else SPARSE,
        filter=chosen,
        limit=query.limit,
        with_payload=with_payload,
        with_vector=[DENSE] if query.with_vectors else False,
    )


def to_chunk(payload: dict[str, Any] | None, point_id: Any) -> Chunk:
    fields = {key: value for key, value in (payload or {}).items() if key != "document_state"}
    return Chunk.model_validate(fields | {"chunk_id": str(point_id)})


def dense_of(vector: Any) -> list[float] | None:
    return vector.get(DENSE) if isinstance(vector, dict) else None
