"""The vector index: every author's chunks with dense and sparse vectors, in Qdrant or what speaks its REST interface.

One collection an author, behind an alias: a changed chunker or model fills a new collection beside and swaps the
alias, and forgetting an author drops a folder. Each point names its document's state (revision, number and digest
of its chunks), so one facet query tells what the index holds and whether any document is half there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from llm_twin.digests import digest_json
from llm_twin.documents import Chunk
from llm_twin.errors import StoreError
from llm_twin.stores.filters import Filters, build_filter
from llm_twin.stores.vector_errors import named_errors
from llm_twin.stores.vector_records import (
    DENSE,
    SCHEMA_VERSION,
    SPARSE,
    Ask,
    Entry,
    Found,
    Layout,
    copy_point,
    dense_of,
    describe_state,
    to_chunk,
    to_point,
    to_request,
    to_stale_filter,
)

__all__ = ["Ask", "Entry", "Found", "Layout", "VectorIndex", "describe_state"]

BATCH_POINTS = 256
PAYLOAD_INDEXES = {
    "document_id": "keyword",
    "document_state": "keyword",
    "platform": "keyword",
    "kind": "keyword",
    "language": "keyword",
    "tags": "keyword",
    "metadata.topics": "keyword",
    "metadata.entities": "keyword",
    "published": "datetime",
}


class VectorIndex:
    """Collections of chunks by author."""

    def __init__(self, client: QdrantClient, url: str) -> None:
        self.client = client
        self.url = url
        self._resolved: dict[str, tuple[str, dict[str, Any]]] = {}  # author → collection, metadata
        self._indexing: dict[str, Future[None]] = {}  # collection → its payload indexes being made
        self._empty: set[str] = set()  # collections made here that nothing was written to

    @classmethod
    def connect(
        cls, url: str, api_key: str | None = None, timeout_seconds: int = 60, probe: bool = True
    ) -> VectorIndex:
        """Connect to a server. Raises StoreError if it cannot be reached, unless `probe` is false: then the first
        call does."""
        client = QdrantClient(
            url=url,
            api_key=api_key,
            timeout=timeout_seconds,
            check_compatibility=False,
            https=url.startswith("https"),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),  # off on loopback otherwise
        )
        index = cls(client, url)
        if probe:
            with named_errors(url):
                client.get_aliases()
        return index

    def close(self) -> None:
        """Close the connections."""
        wait(self._indexing.values())
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
        with named_errors(self.url):
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
        with named_errors(self.url):
            names = sorted(one.name for one in self.client.get_collections().collections)
        half_built = next((name for name in names if name.startswith(prefix)), None)
        if half_built:
            self._index_fields(half_built)  # it may have been killed before all were there
            return half_built
        return self._create(f"{prefix}1", layout)

    def _create(self, name: str, layout: Layout) -> str:
        """Make a collection; where another process has just made it, that one is used."""
        with named_errors(self.url):
            try:
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
                self._empty.add(name)
            except UnexpectedResponse:
                if not self.client.collection_exists(name):
                    raise
        self._index_fields(name)
        return name

    def _index_fields(self, name: str) -> None:
        """Begin to make the payload indexes: each is some writes to disk, which embedding need not wait for."""

        def make() -> None:
            with named_errors(self.url):
                for field, kind in PAYLOAD_INDEXES.items():
                    self.client.create_payload_index(name, field, models.PayloadSchemaType(kind), wait=True)

        thread = ThreadPoolExecutor(1, "index-fields")
        self._indexing[name] = thread.submit(make)
        thread.shutdown(wait=False)

    def _await_fields(self, name: str) -> None:
        """Until the payload indexes are there; raises what making them raised."""
        if (pending := self._indexing.pop(name, None)) is not None:
            pending.result()

    def promote(self, author: str, collection: str) -> None:
        """Point the author's alias at `collection`, in one step for readers, and drop the author's others."""
        self._await_fields(collection)
        with named_errors(self.url):
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
        with named_errors(self.url):
            for one in self.client.get_collections().collections:
                if one.name.startswith(f"{_alias(author)}."):
                    self._await_fields(one.name)
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
            with named_errors(self.url):
                metadata = self.client.get_collection(name).config.metadata or {}
            self._resolved[author] = (name, {**metadata, "name": name})
        return self._resolved[author]

    # Documents

    def read_states(self, collection: str) -> dict[str, int]:
        """State of each document → how many points carry it; whole where the state itself says that number."""
        if collection in self._empty:
            return {}
        self._await_fields(collection)
        with named_errors(self.url):
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
        points = [to_point(state, entry) for state, entries in documents for entry in entries]
        operations: list[Any] = [
            models.UpsertOperation(upsert=models.PointsList(points=points[start : start + BATCH_POINTS]))
            for start in range(0, len(points), BATCH_POINTS)
        ]
        stale = [to_stale_filter(s) for s, _ in documents if present is None or s.split(":", 1)[0] in present]
        if stale:
            operations.append(
                models.DeleteOperation(delete=models.FilterSelector(filter=models.Filter(should=list(stale))))
            )
        self._empty.discard(collection)
        with named_errors(self.url):
            # The client's own method of that name copies every point first, to look for texts to embed.
            self.client.http.points_api.batch_update(
                collection, wait=True, update_operations=models.UpdateOperations(operations=operations)
            )

    def delete_documents(self, collection: str, document_ids: Iterable[str]) -> None:
        """Delete all chunks of some documents."""
        ids = list(document_ids)
        with named_errors(self.url):
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
        with named_errors(self.url):
            target = f"{prefix}.{int(number) + 1}"
            self.client.delete_collection(target)  # half built by a run that was killed
            self._create(target, layout)
            self._empty.discard(target)
            gone = models.FieldCondition(key="document_id", match=models.MatchAny(any=list(document_ids)))
            for points in self._scroll(current, models.Filter(must_not=[gone]), with_vectors=True):
                self.client.upsert(target, [copy_point(point) for point in points], wait=True)
        self.promote(author, target)
        return target

    def iterate_chunks(self, author: str, filters: Filters | None = None) -> Iterator[Chunk]:
        """All of an author's chunks, in the order of their ids."""
        with named_errors(self.url):
            for points in self._scroll(self._resolve(author)[0], build_filter(filters), with_vectors=False):
                for point in points:
                    yield to_chunk(point.payload, point.id)

    def count(self, author: str) -> int:
        """How many chunks an author has."""
        with named_errors(self.url):
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
            [Found(to_chunk(point.payload, point.id), point.score, dense_of(point.vector)) for point in points]
            for points in self._query(author, queries, filters, fingerprint, with_payload=True)
        ]

    def rank(
        self,
        author: str,
        queries: Sequence[Ask],
        filters: Filters | None = None,
        fingerprint: str | None = None,
        hidden: Sequence[str] = (),
    ) -> list[dict[str, float]]:
        """As `ask`, but only chunk id → score, best first: a tenth of the bytes. Chunks `hidden` are passed over."""
        answers = self._query(author, queries, filters, fingerprint, with_payload=False, hidden=hidden)
        return [{str(point.id): point.score for point in points} for points in answers]

    def read_chunks(self, author: str, chunk_ids: Sequence[str]) -> dict[str, Found]:
        """Some chunks with their dense vectors; those that are gone by now are left out."""
        with named_errors(self.url):
            points = self.client.retrieve(
                self._resolve(author)[0], list(chunk_ids), with_payload=True, with_vectors=[DENSE]
            )
        return {
            str(point.id): Found(to_chunk(point.payload, point.id), 0.0, dense_of(point.vector)) for point in points
        }

    def _query(
        self,
        author: str,
        queries: Sequence[Ask],
        filters: Filters | None,
        fingerprint: str | None,
        with_payload: bool,
        hidden: Sequence[str] = (),
    ) -> list[list[Any]]:
        chosen = build_filter(filters, hidden)
        requests = [to_request(query, chosen, with_payload) for query in queries]
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
                with named_errors(self.url):
                    return [answer.points for answer in self.client.query_batch_points(name, requests)]
            except StoreError:
                self._resolved.pop(author, None)  # the alias may have been swapped and the collection dropped
                if attempt == 2 or self.current_collection(author) == name:
                    raise
        raise AssertionError("unreachable")


def _alias(author: str) -> str:
    return f"twin-{author}"
