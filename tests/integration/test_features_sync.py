"""Sync with real servers: only what changed is written, whatever is killed; and forgetting leaves no bytes."""

from __future__ import annotations

import os
import queue
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from llm_twin.documents import stable_id, write_jsonl
from llm_twin.embedding import Encoder
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.cleaning import clean_documents
from llm_twin.features.forgetting import forget_documents, forget_entries
from llm_twin.features.indexing import SyncReport, index_folder
from llm_twin.features.sync import Synchroniser, follow_author, sync_author
from llm_twin.features.vectors import write_vectors
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.search import search
from llm_twin.stores.vectors import Layout, VectorIndex
from llm_twin.stores.warehouse import Warehouse
from tests.integration.indexed import RECIPE, expected_chunks, find_traces, identity, indexed_chunks, make_document, put
from tests.integration.vector_process import VectorProcess


def test_batch_and_sync_converge(
    warehouse: Warehouse, vectors: VectorProcess, encoder: Encoder, author: str, tmp_path: Path
) -> None:
    put(warehouse, *(make_document(author, f"d{at}") for at in range(8)))
    put(warehouse, make_document(author, "copy").model_copy(update={"text": make_document(author, "d3").text}))
    with VectorIndex.connect(vectors.url) as index:
        assert sync_author(warehouse, index, encoder, RECIPE, author).written == 8
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)
        collection = index.current_collection(author)
        assert collection is not None
        synced = index.digest(collection)
        index.drop_author(author)
        clean = clean_documents(warehouse.current_documents(author), RECIPE, lambda _: "Ann Author")
        chunks = list(chunk_documents(clean, RECIPE))
        write_vectors(tmp_path / "v", chunks, encoder, RECIPE)
        assert index_folder(author, chunks, tmp_path / "v", index, RECIPE).digest == synced
        again = sync_author(warehouse, index, encoder, RECIPE, author)
        assert (again.written, again.deleted, again.digest) == (0, 0, synced)


def test_two_first_syncs_at_once_make_one_index(
    warehouse: Warehouse, vectors: VectorProcess, encoder: Encoder, author: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(warehouse, *(make_document(author, f"d{at}") for at in range(8)))
    both_saw_none, create = threading.Barrier(2, timeout=60), VectorIndex._create

    def create_together(index: VectorIndex, name: str, layout: Layout) -> str:
        both_saw_none.wait()
        return create(index, name, layout)

    monkeypatch.setattr(VectorIndex, "_create", create_together)

    def sync() -> SyncReport:
        with VectorIndex.connect(vectors.url) as index:
            return sync_author(warehouse, index, encoder, RECIPE, author)

    with ThreadPoolExecutor(2) as threads:
        done = [one.result(120) for one in [threads.submit(sync), threads.submit(sync)]]
    assert [one.documents for one in done] == [8, 8]
    with VectorIndex.connect(vectors.url) as index:
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)
        assert index.count(author) == len(expected_chunks(warehouse, author))
        assert sync_author(warehouse, index, encoder, RECIPE, author).written == 0


def test_only_changed_chunks_are_embedded(
    warehouse: Warehouse, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    put(warehouse, *(make_document(author, f"d{at}") for at in range(6)))
    with VectorIndex.connect(vectors.url) as index:
        synchroniser = Synchroniser(warehouse, index, encoder, RECIPE, author)
        synchroniser.look()
        before = encoder.counts["embedded"]
        assert synchroniser.look().written == 0
        put(warehouse, make_document(author, "d2", revision=1))  # its first paragraph is new
        done = synchroniser.look()
        changed = set(expected_chunks(warehouse, author).values())
        assert (done.written, done.chunks_written) == (1, 4)
        assert encoder.counts["embedded"] - before == 1
        assert set(indexed_chunks(index, author).values()) == changed


def test_deleted_and_duplicate_documents_follow(
    warehouse: Warehouse, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    first = make_document(author, "first")
    newer = {"published": datetime(2025, 1, 1, tzinfo=UTC), "text": first.text, "title": first.title}
    copy = make_document(author, "copy").model_copy(update=newer)
    put(warehouse, first, copy, make_document(author, "other"))
    with VectorIndex.connect(vectors.url) as index:
        synchroniser = Synchroniser(warehouse, index, encoder, RECIPE, author)
        synchroniser.look()
        assert {one.url for one in index.iterate_chunks(author)} == {first.url, first.url.replace("first", "other")}
        warehouse.bury(author, first.document_id, "gone")
        synchroniser.look()  # what was a duplicate now stands for itself
        assert {one.url for one in index.iterate_chunks(author)} == {copy.url, first.url.replace("first", "other")}
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.deep)])
def test_killed_syncs_leave_nothing_lost_doubled_or_half(
    warehouse: Warehouse,
    warehouse_url: str,
    vectors: VectorProcess,
    encoder: Encoder,
    author: str,
    kills: int,
) -> None:
    names = [f"d{at}" for at in range(24)]
    put(warehouse, *(make_document(author, name) for name in names))
    generator = random.Random(kills)
    landed, turn, horizon = 0, 0, 60.0
    while landed < kills:
        turn += 1
        assert turn <= 4 * kills  # too many syncs were done before their kill came
        for name in generator.sample(names, 8):
            put(warehouse, make_document(author, name, revision=turn, paragraphs=generator.randint(2, 6)))
        child = os.fork()
        if child == 0:
            _sync_and_leave(warehouse_url, vectors.url, encoder, author)
        killed, took = _kill_after(child, generator.uniform(0.0, horizon))
        landed += killed
        # How long a sync takes here is learned from those that were done before their kill came.
        horizon = horizon if killed else 0.9 * min(horizon, took)
        if turn % 3 == 0:
            vectors.kill()
            vectors.start(vectors.port)
    with VectorIndex.connect(vectors.url) as index:
        sync_author(warehouse, index, encoder, RECIPE, author)
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)


def _kill_after(child: int, seconds: float) -> tuple[bool, float]:
    """Kill a child after so many seconds: whether it was still at work, and the seconds that it ran."""
    began = time.monotonic()
    while (ran := time.monotonic() - began) < seconds:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return False, ran
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1]), ran


def _sync_and_leave(warehouse_url: str, vectors_url: str, encoder: Encoder, author: str) -> None:
    """In a forked child: sync with connections of its own, then go without running the parent's handlers."""
    try:
        encoder.cache = None
        with Warehouse.connect(warehouse_url, "sync") as warehouse, VectorIndex.connect(vectors_url) as index:
            sync_author(warehouse, index, encoder, RECIPE, author)
    finally:
        os._exit(0)


def test_a_follower_goes_on_after_a_document_was_forgotten(
    warehouse: Warehouse, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    gone = make_document(author, "gone")
    put(warehouse, gone, *(make_document(author, f"d{at}") for at in range(3)))
    with VectorIndex.connect(vectors.url) as index, VectorIndex.connect(vectors.url) as other:
        follower = Synchroniser(warehouse, index, encoder, RECIPE, author)
        follower.look()
        warehouse.bury(author, gone.document_id, "forgotten")
        forget_documents(author, [gone.document_id], other, None)  # another process: a new collection stands there
        put(warehouse, make_document(author, "d1", revision=1))
        assert follower.look().written == 1
        assert indexed_chunks(other, author) == expected_chunks(warehouse, author)


def test_a_follower_and_a_batch_converge(
    warehouse: Warehouse, warehouse_url: str, vectors: VectorProcess, encoder: Encoder, author: str
) -> None:
    """New, changed, duplicate and vanished documents, each while the follower stands; then the same in one batch."""
    put(warehouse, *(make_document(author, f"d{at}") for at in range(6)))
    looks: queue.Queue[SyncReport] = queue.Queue()
    stop = threading.Event()

    def follow() -> None:
        with Warehouse.connect(warehouse_url, "sync") as own, VectorIndex.connect(vectors.url) as index:
            follow_author(own, index, encoder, RECIPE, author, lambda done, _: looks.put(done), stop.is_set, 0.1)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    with VectorIndex.connect(vectors.url) as index:
        assert looks.get(timeout=60).documents == 6
        older = make_document(author, "d0").model_copy(update={"published": datetime(2020, 1, 1, tzinfo=UTC)})
        changes: list[Callable[[], object]] = [
            lambda: put(warehouse, make_document(author, "d6")),
            lambda: put(warehouse, make_document(author, "d1", revision=1, paragraphs=6)),
            lambda: put(warehouse, older.model_copy(update=identity(author, "older"))),  # d0 is now its copy
            lambda: warehouse.bury(author, make_document(author, "d2").document_id, "gone"),
            lambda: warehouse.bury(author, stable_id(author, f"https://example.org/{author}/older"), "gone"),
        ]
        for change in changes:
            change()
            expected = expected_chunks(warehouse, author)
            while indexed_chunks(index, author) != expected:  # a look may come between the change's own writes
                looks.get(timeout=60)
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
        collection = index.current_collection(author)
        assert collection is not None
        followed = index.digest(collection)
        index.drop_author(author)
        assert sync_author(warehouse, index, encoder, RECIPE, author).digest == followed


def test_forgotten_documents_leave_no_bytes(
    warehouse: Warehouse, vectors: VectorProcess, encoder: Encoder, author: str, tmp_path: Path
) -> None:
    marker = "quillonfarthing"
    secret = make_document(author, "secret", marker=marker)
    put(warehouse, secret, *(make_document(author, f"d{at}") for at in range(4)))
    with VectorIndex.connect(vectors.url) as index:
        sync_author(warehouse, index, encoder, RECIPE, author)
        put(warehouse, make_document(author, "secret", revision=1, marker=marker))
        sync_author(warehouse, index, encoder, RECIPE, author)
        own = [one for one in index.iterate_chunks(author) if one.document_id == secret.document_id]
        assert own and all(marker in one.text for one in own)
        assert encoder.cache is not None
        parts = [part for vector in _cached_vectors(encoder, own) for part in (vector[:400], vector[-400:])]
        traces = [marker.encode(), *parts]  # a page of the cache's file may part a vector
        outputs = write_outputs(tmp_path / "content", warehouse, encoder, author)
        folders = [vectors.folder, encoder.cache.path.parent, tmp_path]
        assert find_traces([tmp_path], traces) == set(traces)
        assert find_traces([vectors.folder], traces) == set(traces)
        assert find_traces([encoder.cache.path.parent], parts) == set(parts)
        warehouse.bury(author, secret.document_id, "forgotten")
        forgotten = forget_documents(author, [secret.document_id], index, encoder.cache)
        assert forgotten.index_rebuilt
        assert forgotten.cached_vectors >= len(own)
        assert len(forget_entries(tmp_path / "content", [secret.document_id])) == outputs
        assert find_traces(folders, traces) == set()
        result = search(f"About secret {marker}", author, index, encoder, RetrievalRecipe(top_k=100))
        assert all(hit.chunk.document_id != secret.document_id for hit in result.hits)
        assert indexed_chunks(index, author) == expected_chunks(warehouse, author)


def write_outputs(folder: Path, warehouse: Warehouse, encoder: Encoder, author: str) -> int:
    """What the pipeline's steps leave on disk, each under a name of its own; returns how many there are."""
    clean = list(clean_documents(warehouse.current_documents(author), RECIPE, lambda _: "Ann Author"))
    chunks = list(chunk_documents(clean, RECIPE))
    for name in ("a", "b", "c"):
        (folder / name).mkdir(parents=True)
    write_jsonl(folder / "a" / "documents", clean)
    write_jsonl(folder / "b" / "chunks", chunks)
    write_vectors(folder / "c" / "vectors", chunks, encoder, RECIPE)
    return 3


def _cached_vectors(encoder: Encoder, chunks: list) -> Iterator[bytes]:
    from llm_twin.features.vectors import embedding_text

    assert encoder.cache is not None
    for chunk in chunks:
        key = encoder.cache.key(encoder.fingerprint, encoder.precision, embedding_text(chunk, RECIPE.context))
        yield np.asarray(encoder.cache.read([key], encoder.dimension)[key], np.float32).tobytes()
