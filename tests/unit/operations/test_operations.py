"""Backups, buckets and Secrets, as the programs in manifests run them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llm_twin.errors import InputError, ServiceError
from llm_twin.operations.backups import choose_expired, download, main, upload
from llm_twin.operations.buckets import make_buckets
from llm_twin.operations.generate_secrets import make_secrets, read_contract, render_values
from llm_twin.operations.objects import split_uri
from llm_twin.operations.prepare_model import prepare_model
from llm_twin.operations.snapshot_vectors import snapshot_vectors
from tests.unit.operations.object_server import Store, serve

NIGHT = datetime(2026, 3, 1, 2, 10, tzinfo=UTC)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, str]]:
    held = Store()
    with serve(held) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        monkeypatch.setenv("LLM_TWIN_BACKUP_URI", "s3://backups/nightly")
        yield held, address


def test_buckets_are_made_once(store: tuple[Store, str]) -> None:
    assert make_buckets(["mlflow", "backups"]) == ["mlflow", "backups"]
    assert make_buckets(["mlflow", "backups", "models"]) == ["models"]


def test_a_storage_that_never_comes_up_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceError, match="AWS_ENDPOINT_URL"):
        make_buckets(["x"], wait_seconds=0)


def test_a_dump_goes_up_and_comes_back_the_same(store: tuple[Store, str], tmp_path: Path) -> None:
    make_buckets(["backups"])
    dump = tmp_path / "mongodb.archive.gz"
    dump.write_bytes(b"a dump" * 1000)
    store[0].refuse = 1  # a hiccup is tried again
    key = upload("mongodb", dump, NIGHT)
    assert key == "nightly/mongodb/20260301T021000Z/mongodb.archive.gz"
    back = tmp_path / "back"
    assert download("mongodb", back) == key
    assert back.read_bytes() == dump.read_bytes()


def test_old_dumps_go_but_never_the_newest_three(store: tuple[Store, str], tmp_path: Path) -> None:
    make_buckets(["backups"])
    dump = tmp_path / "mlflow.dump"
    dump.write_bytes(b"x")
    for month in (1, 2, 3, 4, 5):
        upload("postgres", dump, datetime(2025, month, 1, tzinfo=UTC))
    upload("postgres", dump, NIGHT)
    kept = sorted(key.split("/")[2] for key in store[0].buckets["backups"])
    assert kept == ["20250401T000000Z", "20250501T000000Z", "20260301T021000Z"]


def test_expiry_leaves_alone_what_is_no_dump() -> None:
    keys = [f"p/mongodb/2025010{day}T000000Z/d" for day in range(1, 7)] + ["p/mongodb/README", "p/20200101T000000Z"]
    assert choose_expired(keys, NIGHT, 30) == [f"p/mongodb/2025010{day}T000000Z/d" for day in (1, 2, 3)]
    assert choose_expired(keys, datetime(2025, 1, 8, tzinfo=UTC), 30) == []


def test_an_empty_dump_is_an_error_and_not_a_backup(
    store: tuple[Store, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_buckets(["backups"])
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="no dump"):
        upload("mongodb", tmp_path / "empty")
    with pytest.raises(SystemExit) as stopped:
        main(["download", "qdrant", str(tmp_path / "x")])
    assert stopped.value.code == 2 and "no backup 'qdrant'" in capsys.readouterr().err
    assert store[0].buckets["backups"] == {}


def test_snapshots_of_every_collection_go_up_and_leave_nothing_behind(store: tuple[Store, str], tmp_path: Path) -> None:
    make_buckets(["backups"])
    keys = snapshot_vectors(tmp_path, store[1], "secret")
    assert [key.rsplit("/", 1)[1] for key in keys] == ["chunks.snapshot", "notes.snapshot"]
    assert store[0].buckets["backups"][keys[0]] == b"vectors of chunks"
    assert store[0].snapshots == {"chunks": {}, "notes": {}} and list(tmp_path.iterdir()) == []
    with pytest.raises(ServiceError, match="is it up"):
        snapshot_vectors(tmp_path, store[1], "wrong")


def test_addresses() -> None:
    assert split_uri("s3://b/p/q/") == ("b", "p/q")
    for wrong in ("b/p", "https://b/p", "s3://"):
        with pytest.raises(InputError):
            split_uri(wrong)


def test_values_are_random_and_refer_to_one_another() -> None:
    contract = read_contract("one: {keys: {url: 'x://${name}:${word}@h', word: '${random:24}', name: twin, empty: ''}}")
    first, second = render_values(contract["one"]), render_values(contract["one"])
    assert first["url"] == f"x://twin:{first['word']}@h" and first["empty"] == ""
    assert len(first["word"]) == 24 and first["word"] != second["word"]


@pytest.mark.parametrize(
    "text", ["one: {keys: {a: '${a}'}}", "one: {keys: {a: '${b}', b: '${a}'}}", "one: {keys: {a: '${c}'}}"]
)
def test_rings_and_unknown_keys_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot be resolved"):
        render_values(read_contract(text)["one"])


@pytest.mark.parametrize("text", ["one: {key: {}}", "- a", "one: ["])
def test_a_broken_contract_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="contract"):
        read_contract(text)


class Namespace:
    """The one call of Kubernetes' API that is made, with its answers: created, or 409 where it exists."""

    def __init__(self, existing: set[str], status: int = 409) -> None:
        self.existing, self.status, self.made = existing, status, dict[str, Any]()

    def create_namespaced_secret(self, namespace: str, body: Any) -> None:
        from kubernetes.client.exceptions import ApiException

        if body.metadata.name in self.existing:
            raise ApiException(status=self.status, reason="no")
        self.made[body.metadata.name] = (namespace, body)


def test_secrets_that_exist_are_left_alone() -> None:
    contract = read_contract("one: {keys: {a: '${random:8}'}}\ntwo: {annotations: {x/y: z}, keys: {b: c}}")
    api = Namespace({"one"})
    assert make_secrets(contract, api, "ns") == ["two"]
    namespace, body = api.made["two"]
    assert namespace == "ns" and body.string_data == {"b": "c"} and body.metadata.annotations == {"x/y": "z"}
    with pytest.raises(ServiceError, match="Role generate-secrets"):
        make_secrets(contract, Namespace({"one"}, status=403), "ns")


def test_a_folder_that_holds_a_model_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert prepare_model("seedling", tmp_path) is False


def test_a_model_folder_is_copied_whole(tmp_path: Path) -> None:
    from tests.unit.operations.tiny_model import write_tiny_model

    write_tiny_model(tmp_path / "given")
    assert prepare_model(str(tmp_path / "given"), tmp_path / "out") is True
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        file.name for file in (tmp_path / "out").iterdir()
    }
