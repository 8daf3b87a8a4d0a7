"""The vector index through qdrant-client, against the loopback server or (LLM_TWIN_TEST_QDRANT_URL) a real Qdrant."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from qdrant_client import models

from llm_twin.documents import Chunk
from llm_twin.errors import InputError, StoreError
from llm_twin.stores.vectors import Ask, Entry, Layout, VectorIndex, describe_state
from tests.integration.vector_process import OUTSIDE, VectorProcess

LAYOUT = Layout("fingerprint-a", 8, "settings-1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if OUTSIDE:
        yield OUTSIDE
        return
    process = VectorProcess(tmp_path_factory.mktemp("vectors"))
    yield process.url
    assert process.stop() == 0


@pytest.fixture
def author() -> str:
    return f"author-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def index(server: str, author: str) -> Iterator[VectorIndex]:
    with VectorIndex.connect(server) as opened:
        yield opened
        opened.drop_author(author)


def make_entries(author: str, document: str, count: int, revision: str = "r1", **fields: object) -> list[Entry]:
    entries = []
    for position in range(count):
        generator = np.random.default_rng(abs(hash((document, position))) % 2**32)
        chunk = Chunk(
            chunk_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{document}/{revision}/{position}")),
            document_id=document,
            revision_id=revision,
            author=author,
            platform=fields.get("platform", "site"),
            kind="article",
            url=f"https://example.org/{document}",
            published=fields.get("published"),
            tags=fields.get("tags", []),
            position=position,
            start=0,
            end=4,
            text=f"{document} {revision} {position}",
        )
        vector = generator.normal(size=8)
        entries.append(Entry(chunk, vector / np.linalg.norm(vector), ([position + 1, 1000], [1.5, 0.5])))
    return entries


def write(index: VectorIndex, author: str, documents: dict[str, list[Entry]], layout: Layout = LAYOUT) -> str:
    collection = index.ensure_collection(author, layout)
    states = [(describe_state(name, [one.chunk for one in entries]), entries) for name, entries in documents.items()]
    index.write_documents(collection, states)
    index.promote(author, collection)
    return collection


def texts(index: VectorIndex, author: str) -> set[str]:
    return {chunk.text for chunk in index.iterate_chunks(author)}


def test_chunks_come_back_as_they_went_in(index: VectorIndex, author: str) -> None:
    published = datetime(2024, 5, 1, tzinfo=UTC)
    entries = make_entries(author, "one", 3, published=published, tags=["go", "sql"])
    write(index, author, {"one": entries})
    assert sorted(index.iterate_chunks(author), key=lambda chunk: chunk.position) == [one.chunk for one in entries]
    assert index.count(author) == 3


def test_dense_query_ranks_by_cosine(index: VectorIndex, author: str) -> None:
    entries = make_entries(author, "one", 30)
    write(index, author, {"one": entries})
    query = np.asarray(entries[7].dense) + 0.1
    found = index.ask(author, [Ask(30, dense=query)])[0]
    vectors = np.stack([one.dense for one in entries])
    cosines = vectors @ query / np.linalg.norm(query)
    assert [one.chunk.position for one in found] == np.argsort(-cosines).tolist()
    assert [one.score for one in found] == pytest.approx(np.sort(cosines)[::-1], abs=2e-3)


def test_sparse_query_weighs_rare_terms_more(index: VectorIndex, author: str) -> None:
    write(index, author, {"one": make_entries(author, "one", 10)})
    found = index.ask(author, [Ask(10, sparse=([4, 1000], [1.0, 1.0]))])[0]
    assert found[0].chunk.position == 3  # term 4 is in one chunk, term 1000 in all
    assert found[0].score > 3 * found[1].score


def test_filters_hold_on_every_field(index: VectorIndex, author: str) -> None:
    old, new = datetime(2020, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)
    documents = {
        "old": make_entries(author, "old", 2, published=old, tags=["go"]),
        "new": make_entries(author, "new", 2, published=new, platform="medium", tags=["sql"]),
    }
    write(index, author, documents)

    def ids(filters: dict) -> set[str]:
        return {one.chunk.document_id for one in index.ask(author, [Ask(10, dense=[1.0] * 8)], filters)[0]}

    assert ids({}) == {"old", "new"}
    assert ids({"platform": "medium"}) == {"new"}
    assert ids({"platform": ["medium", "site"]}) == {"old", "new"}
    assert ids({"tags": ["go"]}) == {"old"}
    assert ids({"published_after": "2023-01-01"}) == {"new"}
    assert ids({"published_before": "2023-01-01T00:00:00Z"}) == {"old"}
    assert ids({"platform": "medium", "tags": "go"}) == set()
    with pytest.raises(InputError, match="unknown filter field 'platfrom'.*platform"):
        ids({"platfrom": "medium"})
    with pytest.raises(InputError, match="not a date"):
        ids({"published_after": "last year"})


def test_rewriting_replaces_all_chunks_of_a_document_only(index: VectorIndex, author: str) -> None:
    collection = write(index, author, {name: make_entries(author, name, 4) for name in ("one", "two")})
    before = index.digest(collection)
    write(index, author, {"one": make_entries(author, "one", 2, "r2")})
    assert texts(index, author) == {"one r2 0", "one r2 1", *(f"two r1 {at}" for at in range(4))}
    assert index.digest(collection) != before
    write(index, author, {"one": make_entries(author, "one", 4)})
    assert index.digest(collection) == before


def test_readers_see_old_or_new_never_neither(server: str, index: VectorIndex, author: str) -> None:
    write(index, author, {"one": make_entries(author, "one", 20)})
    seen: list[set[str]] = []
    stop = threading.Event()

    def read() -> None:
        with VectorIndex.connect(server) as reader:
            while not stop.is_set():
                found = reader.ask(author, [Ask(100, dense=[1.0] * 8)])[0]
                seen.append({one.chunk.revision_id for one in found} | {str(len(found))})

    thread = threading.Thread(target=read)
    thread.start()
    for turn in range(20):
        write(index, author, {"one": make_entries(author, "one", 20, f"r{turn}")})
    stop.set()
    thread.join()
    assert len(seen) > 10
    assert all("0" not in one for one in seen)
    if not OUTSIDE:  # the loopback server shows a batch as a whole
        assert all("20" in one and len(one) == 2 for one in seen)


def test_delete_and_rebuild(index: VectorIndex, author: str) -> None:
    old = write(index, author, {name: make_entries(author, name, 3) for name in ("one", "two", "three")})
    index.delete_documents(old, ["one"])
    assert {chunk.document_id for chunk in index.iterate_chunks(author)} == {"two", "three"}
    new = index.rebuild_without(author, ["two"])
    assert new != old
    assert index.current_collection(author) == new
    assert {chunk.document_id for chunk in index.iterate_chunks(author)} == {"three"}
    assert not index.client.collection_exists(old)
    assert index.describe(author)["fingerprint"] == LAYOUT.fingerprint


def test_changed_layout_is_built_beside_and_swapped(index: VectorIndex, author: str) -> None:
    old = write(index, author, {"one": make_entries(author, "one", 3)})
    other = Layout("fingerprint-b", 8, "settings-1")
    building = index.ensure_collection(author, other)
    assert building != old
    assert texts(index, author) == {f"one r1 {at}" for at in range(3)}  # readers still have the old one
    assert index.ensure_collection(author, other) == building  # a run that was killed goes on with it
    entries = make_entries(author, "one", 1, "r2")
    index.write_documents(building, [(describe_state("one", [entries[0].chunk]), entries)])
    index.promote(author, building)
    assert texts(index, author) == {"one r2 0"}
    assert not index.client.collection_exists(old)


def test_another_model_is_refused(index: VectorIndex, author: str) -> None:
    write(index, author, {"one": make_entries(author, "one", 3)})
    assert index.ask(author, [Ask(3, dense=[1.0] * 8)], fingerprint="fingerprint-a")[0]
    with pytest.raises(StoreError, match="another embedding model"):
        index.ask(author, [Ask(3, dense=[1.0] * 8)], fingerprint="fingerprint-b")


def test_reader_follows_a_swap(server: str, index: VectorIndex, author: str) -> None:
    write(index, author, {"one": make_entries(author, "one", 3)})
    with VectorIndex.connect(server) as reader:
        assert reader.ask(author, [Ask(3, dense=[1.0] * 8)])[0]
        write(index, author, {"one": make_entries(author, "one", 3, "r2")}, Layout("fingerprint-a", 8, "settings-2"))
        found = reader.ask(author, [Ask(3, dense=[1.0] * 8)])[0]
        assert {one.chunk.revision_id for one in found} == {"r2"}


def test_missing_index_and_dead_server_are_named(index: VectorIndex) -> None:
    with pytest.raises(StoreError, match="no index of nobody"):
        index.ask("nobody", [Ask(3, dense=[1.0] * 8)])
    with pytest.raises(StoreError, match="cannot be reached"):
        VectorIndex.connect("http://127.0.0.1:9", timeout_seconds=2)


def test_states_tell_half_written_documents(index: VectorIndex, author: str) -> None:
    collection = write(index, author, {"one": make_entries(author, "one", 4)})
    (state,) = index.read_states(collection)
    victim = next(iter(index.iterate_chunks(author))).chunk_id
    index.client.delete(collection, models.PointIdsList(points=[victim]), wait=True)
    assert index.read_states(collection) == {state: 3}


@pytest.mark.skipif(bool(OUTSIDE), reason="of the loopback server only")
class TestLoopbackServer:
    def test_data_survives_kill_and_stop(self, tmp_path: Path) -> None:
        process = VectorProcess(tmp_path / "v")
        with VectorIndex.connect(process.url) as index:
            write(index, "a", {"one": make_entries("a", "one", 5)})
        process.kill()
        process.start()
        with VectorIndex.connect(process.url) as index:
            assert len(texts(index, "a")) == 5
            write(index, "a", {"two": make_entries("a", "two", 5)})
        assert process.stop() == 0
        process.start()
        with VectorIndex.connect(process.url) as index:
            assert len(texts(index, "a")) == 10
        assert process.stop() == 0

    def test_second_owner_and_taken_port_exit_with_2(self, tmp_path: Path) -> None:
        process = VectorProcess(tmp_path / "v")
        command = [sys.executable, "-m", "llm_twin.local.vector_server", "--port", str(process.port), "--path"]
        same_folder = subprocess.run([*command, str(tmp_path / "v")], capture_output=True, text=True, timeout=30)
        same_port = subprocess.run([*command, str(tmp_path / "w")], capture_output=True, text=True, timeout=30)
        process.stop()
        assert (same_folder.returncode, same_port.returncode) == (2, 2)
        assert "served by another process" in same_folder.stderr
        assert "address already in use" in same_port.stderr
        assert "Traceback" not in same_folder.stderr + same_port.stderr

    def test_goes_with_its_parent(self, tmp_path: Path) -> None:
        script = (
            "import subprocess, sys, time\n"
            "p = subprocess.Popen([sys.executable, '-m', 'llm_twin.local.vector_server', '--path', sys.argv[1],"
            " '--port', '0', '--exit-with-parent'], stdout=subprocess.PIPE, text=True)\n"
            "print(p.pid, p.stdout.readline(), flush=True)\n"
            "time.sleep(60)\n"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "v")], stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        child = int(parent.stdout.readline().split()[0])
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and _lives(child):
            time.sleep(0.1)
        assert not _lives(child)

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("GET", "/collections/none", None, 404),
            ("PUT", "/collections/bad%2Fname", {"vectors": {}}, 400),
            ("POST", "/collections/c/points/query", {"query": [1.0], "using": "dense"}, 400),
            ("POST", "/collections/c/points/query", {"query": [1.0] * 8, "using": "nope"}, 400),
            ("POST", "/collections/c/points/query", {"query": {"recommend": {}}}, 400),
            ("POST", "/collections/c/points/scroll", {"filter": {"sometimes": []}}, 400),
            ("POST", "/collections/c/points/scroll", {"filter": {"must": [{"key": "a", "geo_radius": {}}]}}, 400),
            ("PUT", "/collections/c/points", {"points": [{"id": "x", "vector": {"dense": [1.0] * 8}}]}, 400),
            ("PUT", "/collections/c/points", {"points": [{"id": 1, "vector": {"dense": [1.0] * 7}}]}, 400),
            ("PUT", "/collections/c/points", {"points": [{"id": 1, "vector": {"other": [1.0] * 8}}]}, 400),
            ("POST", "/collections/c/points/delete", {}, 400),
            ("POST", "/collections/c/points/scroll", [1, 2], 400),
            ("PUT", "/collections/c", {"vectors": {"dense": {"size": 8, "distance": "Cosine"}}}, 409),
        ],
    )
    def test_wrong_requests_are_answered_and_do_no_harm(
        self, server: str, method: str, path: str, body: object, status: int
    ) -> None:
        dense = {"vectors": {"dense": {"size": 8, "distance": "Cosine"}}}
        with httpx.Client(base_url=server) as client:
            client.put("/collections/c", json=dense)
            response = client.request(method, path, json=body)
            assert response.status_code == status, response.text
            assert response.json()["status"]["error"]
            good = {"points": [{"id": 7, "vector": {"dense": [1.0] * 8}, "payload": {"a": 1}}]}
            assert client.put("/collections/c/points", json=good).status_code == 200
            assert client.post("/collections/c/points/count", json={}).json()["result"] == {"count": 1}
            client.delete("/collections/c")

    def test_broken_json_is_a_client_error(self, server: str) -> None:
        response = httpx.post(f"{server}/collections/aliases", content=b'{"actions": [')
        assert response.status_code == 400


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
