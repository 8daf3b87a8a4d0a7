"""The warehouse's contract, against nx-27017 or a real replica set (LLM_TWIN_TEST_MONGODB_URL)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import DuplicateKeyError

from llm_twin.documents import Author, Document, stable_id
from llm_twin.errors import InputError, StoreError
from llm_twin.stores.mongo_forgetting import is_genuine
from llm_twin.stores.warehouse import Warehouse
from llm_twin.stores.warehouse_schema import CURRENT_COLLECTIONS
from tests.integration.warehouse_process import OUTSIDE, running_warehouse


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with running_warehouse(tmp_path_factory.mktemp("warehouse")) as where:
        yield where


@pytest.fixture
def warehouse(server: tuple[str, str]) -> Iterator[Warehouse]:
    with Warehouse.connect(*server) as warehouse:
        warehouse.ensure_schema()
        for name in warehouse.database.list_collection_names():
            if name != "schema":
                warehouse.database[name].delete_many({})
        yield warehouse


def make_document(url: str, text: str = "Some words.", author: str = "ada", kind: str = "article") -> Document:
    return Document(
        document_id=stable_id(author, url),
        revision_id=stable_id(text),
        author=author,
        platform="site",
        kind=kind,  # type: ignore[arg-type]
        url=url,
        title="A title",
        text=text,
    )


def test_unchanged_writes_nothing_changed_writes_a_revision(warehouse: Warehouse) -> None:
    first = make_document("https://a.example/1")
    assert warehouse.write_revision(first, b"raw one") == "inserted"
    assert warehouse.write_revision(first, b"raw one") == "unchanged"
    noise = first.model_copy(update={"revision_id": "another"})
    assert warehouse.write_revision(noise, b"raw one, and a nonce") == "unchanged"
    assert warehouse.database["raws"].count_documents({}) == 1
    second = make_document("https://a.example/1", "Other words.")
    assert warehouse.write_revision(second, b"raw two") == "changed"
    assert warehouse.database["revisions"].count_documents({}) == 2
    assert [d.text for d in warehouse.current_documents("ada")] == ["Other words."]


def test_raw_bytes_come_back_whole_even_beyond_one_part(warehouse: Warehouse) -> None:
    raw = os.urandom(9_000_000)  # does not compress
    warehouse.write_revision(make_document("https://a.example/big"), raw)
    stored = warehouse.database["revisions"].find_one({})
    assert stored is not None
    assert warehouse.database["raws"].count_documents({}) == 2
    assert warehouse.read_raw(stored["document_id"], stored["raw_digest"]) == raw


def test_a_snapshot_keeps_what_was_current_when_it_was_taken(warehouse: Warehouse) -> None:
    urls = [f"https://a.example/{i}" for i in range(5)]
    for url in urls:
        warehouse.write_revision(make_document(url), url.encode())
    digest = warehouse.take_snapshot("ada")
    assert warehouse.take_snapshot(["ada"]) == digest
    warehouse.write_revision(make_document(urls[0], "New."), b"new")
    assert warehouse.take_snapshot("ada") != digest
    read = list(warehouse.read_snapshot(digest))
    assert [d.document_id for d in read] == sorted(d.document_id for d in read)
    assert {d.text for d in read} == {"Some words."}
    with pytest.raises(InputError, match="no snapshot"):
        list(warehouse.read_snapshot("0" * 32))


def test_a_vanished_document_leaves_a_tombstone_and_may_come_back(warehouse: Warehouse) -> None:
    document = make_document("https://a.example/gone")
    warehouse.write_revision(document, b"raw")
    assert warehouse.bury("ada", document.document_id, "http-404")
    assert not warehouse.bury("ada", document.document_id, "http-404")
    assert [t["url"] for t in warehouse.list_tombstones("ada")] == [document.url]
    assert list(warehouse.current_documents("ada")) == []
    assert warehouse.write_revision(document, b"raw") == "inserted"
    assert warehouse.list_tombstones("ada") == []


def test_indexes_refuse_a_second_document_and_a_second_email(warehouse: Warehouse) -> None:
    warehouse.put_author(Author(id="ada", name="Ada", email="ada@a.example"))
    warehouse.put_author(Author(id="bob", name="Bob"))
    warehouse.put_author(Author(id="cyd", name="Cyd"))
    with pytest.raises(StoreError, match="e-mail"):
        warehouse.put_author(Author(id="eve", name="Eve", email="ada@a.example"))
    warehouse.write_revision(make_document("https://a.example/1"), b"raw")
    with pytest.raises(DuplicateKeyError):
        warehouse.database["articles"].insert_one({"_id": "x", "author": "ada", "url": "https://a.example/1"})


def test_full_text_finds_words(warehouse: Warehouse) -> None:
    warehouse.write_revision(make_document("https://a.example/1", "The gauge stood in the harbour."), b"1")
    warehouse.write_revision(make_document("https://a.example/2", "Nothing of the kind."), b"2")
    assert [d.url for d in warehouse.search_text("harbour", "ada")] == ["https://a.example/1"]


def test_the_change_feed_tells_each_reader_once_after_a_commit(warehouse: Warehouse) -> None:
    one = make_document("https://a.example/1")
    warehouse.write_revision(one, b"1")
    feed = warehouse.changes("sync")
    assert [(c.kind, c.document_id) for c in feed.read()] == [("insert", one.document_id)]
    again = warehouse.changes("sync")  # not committed: a reader that crashed sees it again
    assert [c.kind for c in again.read()] == ["insert"]
    again.commit()
    later = warehouse.changes("sync")
    assert later.read() == []
    warehouse.write_revision(make_document("https://a.example/1", "Changed."), b"2")
    changes = later.read(wait_seconds=5)
    assert [(c.kind, c.document_id) for c in changes] == [("update", one.document_id)]
    later.commit()
    warehouse.bury("ada", one.document_id, "gone")
    last = warehouse.changes("sync")  # a new process: the position is durable
    assert [(c.kind, c.document_id) for c in last.read(wait_seconds=5)] == [("delete", one.document_id)]


def test_watch_wakes_for_a_change_and_not_without(warehouse: Warehouse) -> None:
    with warehouse.watch() as wait:
        assert wait(0.3) is False
        timer = threading.Timer(0.3, lambda: warehouse.write_revision(make_document("https://a.example/w"), b"w"))
        timer.start()
        begun = time.monotonic()
        assert wait(20) is True
        assert time.monotonic() - begun < 15
        timer.join()


def test_forget_removes_all_of_it_and_leaves_a_signed_record_and_a_marker(warehouse: Warehouse) -> None:
    secret, other = make_document("https://a.example/s", "A secret passage."), make_document("https://a.example/o")
    for document in (secret, other):
        warehouse.write_revision(document, document.text.encode())
    warehouse.write_revision(make_document("https://a.example/s", "A secret passage, edited."), b"edited")
    warehouse.put_http_states("ada", "src", [{"url": secret.url, "document_id": secret.document_id}])
    warehouse.quarantine("ada", "src", secret.url, "bot-check", "once")
    digest = warehouse.take_snapshot("ada")
    record = warehouse.forget(secret.url)
    assert record["documents"] == [secret.document_id] and len(record["hashes"]) == 2
    assert record["snapshots"] == [digest]
    assert "secret passage" not in str(record)
    assert is_genuine(warehouse.database, record)
    assert not is_genuine(warehouse.database, {**record, "documents": []})
    for name in warehouse.database.list_collection_names():
        assert "secret passage" not in str(list(warehouse.database[name].find({}))), name
        if name not in ("forgotten", "forget_records", "snapshots", "schema"):
            assert secret.url not in str(list(warehouse.database[name].find({}))), name
    assert [d.url for d in warehouse.read_snapshot(digest)] == [other.url]
    assert warehouse.forgotten_documents("ada") == {secret.document_id}
    with pytest.raises(StoreError, match="forgotten"):
        warehouse.write_revision(secret, b"back again")
    warehouse.forget("ada") if warehouse.get_author("ada") else warehouse.put_author(Author(id="ada", name="Ada"))
    warehouse.forget("ada")
    assert list(warehouse.current_documents("ada")) == [] and warehouse.get_author("ada") is None
    assert warehouse.is_forgotten("ada", "any")
    with pytest.raises(InputError, match="nothing of"):
        warehouse.forget("https://never.example/seen")


WRITER = """
import sys
from llm_twin.stores.warehouse import Warehouse
from tests.integration.test_collection_warehouse import make_document
with Warehouse.connect(sys.argv[1], sys.argv[2]) as warehouse:
    warehouse.ensure_schema()
    documents = [make_document(f"https://e.example/{i}", f"Text {i}.") for i in range(25)]
    print(sum(warehouse.write_revision(one, one.text.encode()) == "inserted" for one in documents))
"""


def test_eight_writers_at_once_neither_double_nor_lose(warehouse: Warehouse, server: tuple[str, str]) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, *server], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for _ in range(8)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sum(int(output) for output in outputs) >= 25
    assert sum(warehouse.database[name].count_documents({}) for name in CURRENT_COLLECTIONS) == 25
    assert warehouse.database["revisions"].count_documents({}) == 25
    assert warehouse.database["raws"].count_documents({}) == 25
    assert len({d.url for d in warehouse.current_documents("ada")}) == 25


@pytest.mark.skipif(bool(OUTSIDE), reason="LLM_TWIN_TEST_MONGODB_URL is set: this pins what nx-27017 does differently")
class TestWhereNxDiffers:
    """What the code allows for; a failure here means that an allowance can go."""

    def test_server_info_has_no_version(self, warehouse: Warehouse) -> None:
        assert "version" not in warehouse.client.server_info()

    def test_a_database_is_not_watched_but_a_collection_is(self, warehouse: Warehouse) -> None:
        with (
            warehouse.database.watch(max_await_time_ms=200) as whole,
            warehouse.database["articles"].watch(max_await_time_ms=200) as part,
        ):
            warehouse.write_revision(make_document("https://a.example/d"), b"d")
            warehouse.bury("ada", stable_id("ada", "https://a.example/d"), "gone")
            deadline = time.monotonic() + 10
            events = []
            while len(events) < 2 and time.monotonic() < deadline:
                event = part.try_next()
                events += [event] if event else []
            assert [e["operationType"] for e in events] == ["insert", "delete"]
            assert "fullDocument" in events[1]
            assert whole.try_next() is None

    def test_databases_of_one_file_are_one(self, warehouse: Warehouse) -> None:
        warehouse.write_revision(make_document("https://a.example/x"), b"x")
        other = warehouse.client["quite_another"]
        assert other["articles"].count_documents({}) == 1

    def test_an_upsert_by_replacement_gives_a_new_id_unless_told(self, warehouse: Warehouse) -> None:
        table = warehouse.database["cursor_parts"]
        table.replace_one({"_id": "wanted"}, {"a": 1}, upsert=True)
        assert table.find_one({"a": 1})["_id"] != "wanted"  # type: ignore[index]
