"""The vector index: every author's chunks with dense and sparse vectors, in Qdrant or what speaks its REST interface.

One collection an author, behind an alias: a changed chunker or model fills a new collection beside and swaps the
alias, and forgetting an author drops a folder. Each point names its document's state (revision, number and digest
of its chunks), so one facet query tells what the index holds and whether any document is half there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from llm_twin.digests import digest_json
from llm_twin.documents import Chunk
from llm_twin.errors import StoreError
from llm_twin.stores.filters import Filters, build_filter

DENSE, SPARSE = "dense", "sparse"
SCHEMA_VERSION = 1
BATCH_POINTS = 256
PAYLOAD_INDEXES = {
    "document_id": "keyword",
    "document_state": "keyword",
    "platform": "keyword",
    "kind": "keyword",
    "language": "keyword",
    "tags": "keyword",
    "metadata.topics": "keyword",
    "published": "datetime",
}
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


class VectorIndex:
    """Collections of chunks by author."""

    def __init__(self, client: QdrantClient, url: str) -> None:
        self.client = client
        self.url = url
        self._resolved: dict[str, tuple[str, dict[str, Any]]] = {}  # author → collection, metadata

    @classmethod
    def connect(cls, url: str, api_key: str | None = None, timeout_seconds: int = 60) -> VectorIndex:
        """Connect to a server. Raises StoreError if it cannot be reached."""
        client = QdrantClient(
            url=url,
            api_key=api_key,
            timeout=timeout_seconds,
            check_compatibility=False,
            https=url.startswith("https"),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),  # off on loopback otherwise
        )
        index = cls(client, url)
        with _named(url):
            client.get_aliases()
        return index

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __enter__(self) -> VectorIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Collections

    def current_collection(self, author: str) -> str | None:
        """The collection that the author's alias points at."""
        with _named(self.url):
            aliases = self.client.get_aliases().aliases
        return next((one.collection_name for one in aliases if one.alias_name == _alias(author)), None)

    def ensure_collection(self, author: str, layout: Layout) -> str:
        """The author's collection of that layout: the current one, one half built before, or a new empty one.

        It is searched only once `promote` has pointed the alias at it.
        """
        current = self.current_collection(author)
        prefix = f"{_alias(author)}.{layout.digest}."
        if current and current.startswith(prefix):
            return current
        with _named(self.url):
            names = sorted(one.name for one in self.client.get_collections().collections)
        half_built = next((name for name in names if name.startswith(prefix)), None)
        if half_built:
            self._index_fields(half_built)  # it may have been killed before all were there
            return half_built
        return self._create(f"{prefix}1", layout)

    def _create(self, name: str, layout: Layout) -> str:
        with _named(self.url):
            self.client.create_collection(
                name,
                vectors_config={DENSE: models.VectorParams(size=layout.dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                metadata={
                    "schema": SCHEMA_VERSION,
                    "fingerprint": layout.fingerprint,
                    "dimension": layout.dimension,
                    "settings": layout.settings,
                },
            )
        self._index_fields(name)
        return name

    def _index_fields(self, name: str) -> None:
        with _named(self.url):
            for field, kind in PAYLOAD_INDEXES.items():
                self.client.create_payload_index(name, field, models.PayloadSchemaType(kind), wait=True)

    def promote(self, author: str, collection: str) -> None:
        """Point the author's alias at `collection`, in one step for readers, and drop the author's others."""
        with _named(self.url):
            if self.current_collection(author) != collection:
                swap = models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name=collection, alias_name=_alias(author))
                )
                self.client.update_collection_aliases([swap])
            for one in self.client.get_collections().collections:
                if one.name.startswith(f"{_alias(author)}.") and one.name != collection:
                    self.client.delete_collection(one.name)
        self._resolved.pop(author, None)

    def drop_author(self, author: str) -> None:
        """Delete all of an author's collections."""
        with _named(self.url):
            for one in self.client.get_collections().collections:
                if one.name.startswith(f"{_alias(author)}."):
                    self.client.delete_collection(one.name)
        self._resolved.pop(author, None)

    def describe(self, author: str) -> dict[str, Any]:
        """What the author's current collection was made with: fingerprint, dimension, settings, name.

        Raises StoreError where the author has none.
        """
        return self._resolve(author)[1]

    def _resolve(self, author: str) -> tuple[str, dict[str, Any]]:
        if author not in self._resolved:
            name = self.current_collection(author)
            if name is None:
                raise StoreError(f"no index of {author} at {self.url}", "run the features pipeline, or `twin sync`")
            with _named(self.url):
                metadata = self.client.get_collection(name).config.metadata or {}
            self._resolved[author] = (name, {**metadata, "name": name})
        return self._resolved[author]

    # Documents

    def read_states(self, collection: str) -> dict[str, int]:
        """State of each document → how many points carry it; whole where the state itself says that number."""
        with _named(self.url):
            facets = self.client.facet(collection, "document_state", limit=10_000_000, exact=True)
        return {str(hit.value): hit.count for hit in facets.hits if hit.count}

    def digest(self, collection: str) -> str:
        """Names the collection's content: layout, and every document's revision and chunks."""
        return digest_json([collection.rsplit(".", 1)[0], sorted(self.read_states(collection).items())])

    def write_documents(
        self,
        collection: str,
        documents: Sequence[tuple[str, Sequence[Entry]]],
        present: Container[str] | None = None,
    ) -> None:
        """Write all chunks of some documents, given with their states, in the place of what was there.

        `present` are the ids of documents that may be there already (default: all may); the rest need no deleting.

        New points go in before old ones go out, in one batch: a reader finds the old, the new or (between the two
        operations, on a server that applies them one by one) both, which search tells apart; never neither.
        """
        points = [_point(state, entry) for state, entries in documents for entry in entries]
        operations: list[Any] = [
            models.UpsertOperation(upsert=models.PointsList(points=points[start : start + BATCH_POINTS]))
            for start in range(0, len(points), BATCH_POINTS)
        ]
        stale = [_stale_points(s) for s, _ in documents if present is None or s.split(":", 1)[0] in present]
        if stale:
            operations.append(
                models.DeleteOperation(delete=models.FilterSelector(filter=models.Filter(should=list(stale))))
            )
        with _named(self.url):
            self.client.batch_update_points(collection, operations, wait=True)

    def delete_documents(self, collection: str, document_ids: Iterable[str]) -> None:
        """Delete all chunks of some documents."""
        ids = list(document_ids)
        with _named(self.url):
            for start in range(0, len(ids), 500):
                match = models.MatchAny(any=ids[start : start + 500])
                chosen = models.Filter(must=[models.FieldCondition(key="document_id", match=match)])
                self.client.delete(collection, models.FilterSelector(filter=chosen), wait=True)

    def rebuild_without(self, author: str, document_ids: Iterable[str]) -> str | None:
        """Copy the author's collection without some documents and drop the old one: deleted points leave bytes.

        Returns the new collection's name; None where there is none.
        """
        current = self.current_collection(author)
        if current is None:
            return None
        info = self.describe(author)
        layout = Layout(info["fingerprint"], info["dimension"], info["settings"])
        prefix, _, number = current.rpartition(".")
        with _named(self.url):
            target = f"{prefix}.{int(number) + 1}"
            self.client.delete_collection(target)  # half built by a run that was killed
            self._create(target, layout)
            gone = models.FieldCondition(key="document_id", match=models.MatchAny(any=list(document_ids)))
            for points in self._scroll(current, models.Filter(must_not=[gone]), with_vectors=True):
                self.client.upsert(target, [_copy(point) for point in points], wait=True)
        self.promote(author, target)
        return target

    def iterate_chunks(self, author: str, filters: Filters | None = None) -> Iterator[Chunk]:
        """All of an author's chunks, in the order of their ids."""
        with _named(self.url):
            for points in self._scroll(self._resolve(author)[0], build_filter(filters), with_vectors=False):
                for point in points:
                    yield _chunk(point.payload, point.id)

    def count(self, author: str) -> int:
        """How many chunks an author has."""
        with _named(self.url):
            return self.client.count(self._resolve(author)[0], exact=True).count

    def _scroll(self, collection: str, chosen: Any, with_vectors: bool) -> Iterator[list[Any]]:
        offset = None
        while True:
            points, offset = self.client.scroll(
                collection, chosen, limit=BATCH_POINTS, offset=offset, with_payload=True, with_vectors=with_vectors
            )
            if points:
                yield points
            if offset is None:
                return

    # Search

    def ask(
        self, author: str, queries: Sequence[Ask], filters: Filters | None = None, fingerprint: str | None = None
    ) -> list[list[Found]]:
        """Answer several queries at once, each best first, with the chunks.

        Raises StoreError where the author has no index, or `fingerprint` is not that of the index's encoder.
        """
        return [
            [Found(_chunk(point.payload, point.id), point.score, _dense(point.vector)) for point in points]
            for points in self._query(author, queries, filters, fingerprint, with_payload=True)
        ]

    def rank(
        self, author: str, queries: Sequence[Ask], filters: Filters | None = None, fingerprint: str | None = None
    ) -> list[dict[str, float]]:
        """As `ask`, but only chunk id → score, best first: a tenth of the bytes."""
        answers = self._query(author, queries, filters, fingerprint, with_payload=False)
        return [{str(point.id): point.score for point in points} for points in answers]

    def read_chunks(self, author: str, chunk_ids: Sequence[str]) -> dict[str, Found]:
        """Some chunks with their dense vectors; those that are gone by now are left out."""
        with _named(self.url):
            points = self.client.retrieve(
                self._resolve(author)[0], list(chunk_ids), with_payload=True, with_vectors=[DENSE]
            )
        return {str(point.id): Found(_chunk(point.payload, point.id), 0.0, _dense(point.vector)) for point in points}

    def _query(
        self,
        author: str,
        queries: Sequence[Ask],
        filters: Filters | None,
        fingerprint: str | None,
        with_payload: bool,
    ) -> list[list[Any]]:
        chosen = build_filter(filters)
        requests = [_request(query, chosen, with_payload) for query in queries]
        for attempt in (1, 2):
            name, metadata = self._resolve(author)
            if fingerprint and metadata.get("fingerprint") != fingerprint:
                self._resolved.pop(author)
                raise StoreError(
                    f"the index of {author} was made with another embedding model ({metadata.get('fingerprint')}, "
                    f"asked with {fingerprint})",
                    "search with the model of the index, or run the features pipeline with the new one",
                )
            try:
                with _named(self.url):
                    return [answer.points for answer in self.client.query_batch_points(name, requests)]
            except StoreError:
                self._resolved.pop(author, None)  # the alias may have been swapped and the collection dropped
                if attempt == 2 or self.current_collection(author) == name:
                    raise
        raise AssertionError("unreachable")


def _alias(author: str) -> str:
    return f"twin-{author}"


def _point(state: str, entry: Entry) -> models.PointStruct:
    vector: dict[str, Any] = {DENSE: np.asarray(entry.dense, np.float32).tolist()}
    indices, values = entry.sparse
    if indices:
        vector[SPARSE] = models.SparseVector(indices=indices, values=values)
    payload = entry.chunk.model_dump(mode="json", exclude={"chunk_id"}) | {"document_state": state}
    return models.PointStruct(id=entry.chunk.chunk_id, vector=vector, payload=payload)


def _stale_points(state: str) -> models.Filter:
    """The document's points that are of another state."""
    document = models.MatchValue(value=state.split(":", 1)[0])
    return models.Filter(
        must=[models.FieldCondition(key="document_id", match=document)],
        must_not=[models.FieldCondition(key="document_state", match=models.MatchValue(value=state))],
    )


def _copy(point: Any) -> models.PointStruct:
    return models.PointStruct(id=point.id, vector=point.vector, payload=point.payload)


def _request(query: Ask, chosen: models.Filter | None, with_payload: bool) -> models.QueryRequest:
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


def _chunk(payload: dict[str, Any] | None, point_id: Any) -> Chunk:
    fields = {key: value for key, value in (payload or {}).items() if key != "document_state"}
    return Chunk.model_validate(fields | {"chunk_id": str(point_id)})


def _dense(vector: Any) -> list[float] | None:
    return vector.get(DENSE) if isinstance(vector, dict) else None


class _named:
    """Turns the client's errors into StoreError that names the server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ResponseHandlingException | httpx.TransportError):
            raise StoreError(
                f"the vector index at {self.url} cannot be reached: {error}", "is it up? see LLM_TWIN_QDRANT_URL"
            ) from error
        if isinstance(error, UnexpectedResponse):
            reason = error.content.decode(errors="replace")[:300]
            raise StoreError(f"the vector index at {self.url} refused: {error.status_code} {reason}") from error
        if isinstance(error, ApiException):
            raise StoreError(f"the vector index at {self.url} refused: {error}") from error
