"""One author's documents synced in shards, with real servers: the index is the one that a single sync makes."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from llm_twin.documents import Document
from llm_twin.embedding import Encoder
from llm_twin.errors import StoreError
from llm_twin.features import streaming
from llm_twin.features.indexing import SyncReport
from llm_twin.features.sharding import finish_sync, plan_sync, shard_of, sync_shard
from llm_twin.features.sync import sync_author
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import VectorIndex
from llm_twin.stores.warehouse import Warehouse
from tests.integration.indexed import RECIPE, expected_chunks, find_traces, identity, indexed_chunks, make_document, put
from tests.integration.vector_process import VectorProcess

SHARDS = 3
NEWER = {"published": datetime(2025, 1, 1, tzinfo=UTC)}


class Run:
    """A plan of one author and its shards, each called with connections of its own."""

    def __init__(
        self, warehouse_url: str, vectors_url: str, encoder: Encoder, author: str, recipe: FeaturesRecipe = RECIPE
    ) -> None:
        self.urls, self.encoder, self.author, self.recipe = (warehouse_url, vectors_url), encoder, author, recipe
        with self.connect_warehouse() as warehouse, VectorIndex.connect(vectors_url) as index:
            self.wanted, self.parts = plan_sync(warehouse, index, encoder, recipe, author, SHARDS)

    def connect_warehouse(self) -> Warehouse:
        return Warehouse.connect(self.urls[0], "sync")

    def write(self, part: dict[str, Any]) -> SyncReport:
        with self.connect_warehouse() as warehouse, VectorIndex.connect(self.urls[1]) as index:
            return sync_shard(warehouse, index, self.encoder, self.recipe, self.wanted, part)

    def write_all(self) -> list[SyncReport]:
        with ThreadPoolExecutor(SHARDS) as threads:
            return list(threads.map(self.write, self.parts))

    def finish(self, done: list[SyncReport]) -> SyncReport:
        with self.connect_warehouse() as warehouse, VectorIndex.connect(self.urls[1]) as index:
            return finish_sync(warehouse, index, self.parts, done)


def copy_of(document: Document, author: str, name: str) -> Document:
    """A later document that says the same, and belongs to another shard."""
    for at in range(99):
        copy = document.model_copy(update=identity(author, f"{name}{at}") | NEWER)
        if shard_of(copy.document_id, SHARDS) != shard_of(document.document_id, SHARDS):
            return copy
    raise AssertionError("no such name")


def killed_after_one_write(run: Run, part: dict[str, Any]) -> None:
    """The shard in a process of its own that is killed when it has written one document."""
    child = os.fork()
    if child == 0:
        write = VectorIndex.write_documents

        def write_and_die(*arguments: Any) -> None:
            write(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        run.encoder.cache = None
        streaming.BATCH_CHUNKS, VectorIndex.write_documents = 1, write_and_die  # type: ignore[method-assign]
        run.write(part)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


def read_states(index: VectorIndex, run: Run) -> dict[str, int]:
    return index.read_states(run.parts[0]["collection"])


def test_shards_make_the_index_that_one_sync_makes(
    warehouse: Warehouse, warehouse_url: str, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    documents = [make_document(author, f"d{at}") for at in range(12)]
    put(warehouse, *documents, copy_of(documents[3], author, "copy"))
    run = Run(warehouse_url, vectors.url, encoder, author)
    assert len(run.parts) == SHARDS == len({shard_of(one.document_id, SHARDS) for one in documents})
    with VectorIndex.connect(vectors.url) as index:
        done = run.write_all()
        assert index.current_collection(author) is None  # nobody reads it before all is there
        assert all(one.written for one in done)
        sharded = run.finish(done)
        assert (sharded.documents, sharded.written, sharded.deleted) == (12, 12, 0)
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)
        again = sync_author(warehouse, index, encoder, RECIPE, author)
        assert (again.written, again.deleted, again.digest) == (0, 0, sharded.digest)
        index.drop_author(author)
        assert sync_author(warehouse, index, encoder, RECIPE, author).digest == sharded.digest


def test_a_document_that_changed_or_went_is_one_shards(
    warehouse: Warehouse, warehouse_url: str, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    documents = [make_document(author, f"d{at}") for at in range(12)]
    copy = copy_of(documents[3], author, "copy")
    put(warehouse, *documents, copy)
    with VectorIndex.connect(vectors.url) as index:
        sync_author(warehouse, index, encoder, RECIPE, author)
        put(warehouse, make_document(author, "d1", revision=1), make_document(author, "new"))
        for gone in (documents[2], documents[3], documents[5]):  # of the second, the copy now stands for itself
            warehouse.bury(author, gone.document_id, "gone")
        run = Run(warehouse_url, vectors.url, encoder, author)
        done = run.write_all()
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)
        assert sum(one.deleted for one in done) == 3
        for name in ("d1", "new"):
            own = shard_of(make_document(author, name).document_id, SHARDS)
            assert done[own].written
        assert sum(one.written for one in done) == 3
        total = run.finish(done)
        assert (total.documents, total.written, total.deleted) == (11, 3, 3)
        assert [one.written + one.deleted for one in run.write_all()] == [0, 0, 0]  # a step that is tried again
        nothing = Run(warehouse_url, vectors.url, encoder, author)
        assert len(nothing.parts) == 1  # no steps for nothing
        assert nothing.finish(nothing.write_all()).digest == total.digest


def test_readers_keep_the_old_index_until_every_shard_has_written(
    warehouse: Warehouse, warehouse_url: str, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    put(warehouse, *(make_document(author, f"d{at}") for at in range(9)))
    with VectorIndex.connect(vectors.url) as index:
        sync_author(warehouse, index, encoder, RECIPE, author)
        old, before = index.current_collection(author), indexed_chunks(index, author)
        other = RECIPE.model_copy(update={"max_tokens": 24})
        run = Run(warehouse_url, vectors.url, encoder, author, other)
        done = [run.write(part) for part in run.parts[:2]]
        with pytest.raises(StoreError, match="2 of 3 shards"):
            run.finish(done)
        with pytest.raises(StoreError, match=r"\d of 9 documents"):
            run.finish([*done, SyncReport(documents=9 - sum(one.documents for one in done))])
        assert index.current_collection(author) == old and indexed_chunks(index, author) == before
        killed_after_one_write(run, run.parts[2])
        assert len(read_states(index, run)) == sum(one.documents for one in done) + 1
        total = run.finish([*done, run.write(run.parts[2])])
        assert index.current_collection(author) != old
        assert sync_author(warehouse, index, encoder, other, author).digest == total.digest
        names = [one.name for one in index.client.get_collections().collections if f"-{author}." in one.name]
        assert names == [index.current_collection(author)]


def test_what_goes_while_shards_write_is_not_shown_and_what_is_forgotten_leaves_no_bytes(
    warehouse: Warehouse, warehouse_url: str, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    marker = "cormorantledger"
    secret, gone = make_document(author, "secret", marker=marker), make_document(author, "gone")
    late = make_document(author, "late")
    put(warehouse, secret, gone, late, *(make_document(author, f"d{at}") for at in range(6)))
    run = Run(warehouse_url, vectors.url, encoder, author)
    warehouse.bury(author, gone.document_id, "gone")  # after the plan, before its shard
    done = run.write_all()
    assert sum(one.documents for one in done) == 8
    assert find_traces([vectors.folder], [marker.encode()])
    warehouse.bury(author, late.document_id, "gone")  # after its shard
    assert warehouse.forget(secret.url)
    total = run.finish(done)
    assert total.documents == 6
    with VectorIndex.connect(vectors.url) as index:
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)
        assert sync_author(warehouse, index, encoder, RECIPE, author).digest == total.digest
    assert find_traces([vectors.folder], [marker.encode()]) == set()
