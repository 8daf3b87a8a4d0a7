"""Versions: numbered by what changed, immutable, told apart, and marked when a source is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llm_twin.datasets import build_dataset, publish_dataset, write_dataset
from llm_twin.datasets.compare import compare_datasets
from llm_twin.datasets.push import push_version
from llm_twin.datasets.versions import (
    find_trained,
    find_version,
    list_versions,
    mark_forgotten,
    publish_version,
    version_folder,
)
from llm_twin.documents import CleanDocument
from llm_twin.errors import InputError
from llm_twin.recipes import DatasetsRecipe

Make = Callable[..., CleanDocument]
Write = Callable[[int, int], str]
PLAIN = DatasetsRecipe(embedder="", min_test_documents=3)


@pytest.fixture
def documents(make_document: Make, write_text: Write) -> list[CleanDocument]:
    return [make_document(write_text(n, 4), n) for n in range(16)]


def publish(documents: list[CleanDocument], tmp_path: Path, recipe: DatasetsRecipe = PLAIN) -> str:
    write_dataset(build_dataset(documents, recipe), tmp_path / "samples")
    return publish_version(tmp_path / "samples", tmp_path / "store").version


def test_numbers_say_what_changed(documents: list[CleanDocument], make_document: Make, tmp_path: Path) -> None:
    assert publish(documents, tmp_path) == "1.0.0"
    assert publish(documents, tmp_path) == "1.0.0"  # the same content is no new version
    assert publish(documents, tmp_path, PLAIN.model_copy(update={"continuation_share": 1.0})) == "1.0.1"
    train = next(s["document_id"] for s in compare_source(tmp_path) if s["split"] == "train")
    changed = [
        make_document(d.text + "\n\nAnd one more thing that came to me much later, on the ferry, in the rain.", n)
        if d.document_id == train
        else d
        for n, d in enumerate(documents)
    ]
    assert publish(changed, tmp_path) == "1.1.0"
    assert publish(documents, tmp_path, PLAIN.model_copy(update={"seed": 99})) == "2.0.0"
    assert [v.version for v in list_versions(tmp_path / "store", "author")] == ["1.0.0", "1.0.1", "1.1.0", "2.0.0"]
    assert [v.parent for v in list_versions(tmp_path / "store", "author")] == [None, "1.0.0", "1.0.1", "1.1.0"]


def compare_source(tmp_path: Path) -> list[dict[str, str]]:
    from llm_twin.datasets import read_manifest

    return read_manifest(tmp_path / "samples")["sources"]


def test_what_is_in_the_store_cannot_be_written_over(documents: list[CleanDocument], tmp_path: Path) -> None:
    publish(documents, tmp_path)
    folder = version_folder(tmp_path / "store", find_version(tmp_path / "store", "author"))
    assert all(not path.stat().st_mode & 0o222 for path in folder.iterdir())
    with pytest.raises(InputError, match="known versions: 1.0.0"):
        find_version(tmp_path / "store", "author", "3.0.0")


def test_a_diff_names_documents_samples_and_keys(
    documents: list[CleanDocument], make_document: Make, write_text: Write, tmp_path: Path
) -> None:
    write_dataset(build_dataset(documents, PLAIN), tmp_path / "a")
    new = make_document(write_text(50, 4), 50)
    recipe = PLAIN.model_copy(update={"min_output_words": 20})
    write_dataset(build_dataset([*documents[1:], new], recipe), tmp_path / "b")
    found = compare_datasets(tmp_path / "a", tmp_path / "b")
    assert found["documents"]["added"] == [new.url] and found["documents"]["removed"] == [documents[0].url]
    assert found["recipe"] == {"min_output_words": "15 → 20"} and not found["same"]
    assert sum(split["added"] for split in found["samples"]["instruction"].values()) > 0
    assert compare_datasets(tmp_path / "a", tmp_path / "a")["same"]


def test_forgetting_marks_the_versions_that_hold_it_and_names_their_models(
    documents: list[CleanDocument], tmp_path: Path
) -> None:
    publish(documents[1:], tmp_path)
    publish(documents, tmp_path)
    store = tmp_path / "store"
    with_it = find_version(store, "author")
    gone = documents[0].document_id
    marked = mark_forgotten(store, [gone])
    assert [v.version for v in marked] == [with_it.version] and marked[0].forgotten == [gone]
    assert [v.forgotten for v in list_versions(store, "author")] == [[], [gone]]
    models = [("old", {"samples_digest": "0" * 32}), ("voice", {"samples_digest": with_it.folder_digest})]
    assert find_trained(marked, models) == ["voice"]
    after = build_dataset(documents[1:], PLAIN)  # the warehouse no longer gives the document
    assert gone not in {s.document_id for s in (*after.instructions, *after.preferences)}
    assert mark_forgotten(store, ["no-such-document"]) == []
    mark_forgotten(store, [gone], purge=True)
    with pytest.raises(InputError, match="purged"):
        version_folder(store, with_it)
    assert list_versions(store, "author")[-1].forgotten == [gone]


def test_a_version_is_logged_once_to_mlflow(documents: list[CleanDocument], tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    write_dataset(build_dataset(documents, PLAIN), tmp_path / "samples")
    for _ in range(2):
        version = publish_dataset(tmp_path / "samples", tmp_path / "store", uri)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("llm-twin-datasets")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["content"] == version.content
    assert run.data.metrics["train_instructions"] == version.counts["instructions"]["train"]
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"README.md", "manifest.json"}


def test_a_dvc_remote_holds_every_file_by_its_md5(documents: list[CleanDocument], tmp_path: Path) -> None:
    import hashlib
    import json

    import yaml

    folder = tmp_path / "samples"
    write_dataset(build_dataset(documents, PLAIN), folder)
    push_version(folder, f"dvc:{tmp_path / 'remote'}")
    out = yaml.safe_load((tmp_path / "remote" / "author.dvc").read_text())["outs"][0]
    files = tmp_path / "remote" / "files" / "md5"
    listing = json.loads((files / out["md5"][:2] / out["md5"][2:]).read_text())
    assert {entry["relpath"] for entry in listing} == {p.name for p in folder.iterdir()}
    for entry in listing:
        content = (files / entry["md5"][:2] / entry["md5"][2:]).read_bytes()
        assert content == (folder / entry["relpath"]).read_bytes()
        assert hashlib.md5(content).hexdigest() == entry["md5"]
