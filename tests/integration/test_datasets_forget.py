"""`twin forget` of a document that data sets hold: marked, gone from the next version, models named."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from llm_twin.collection.collect import collect
from llm_twin.datasets import build_dataset, publish_dataset, write_dataset
from llm_twin.datasets.labels import keep_labels, read_labels
from llm_twin.datasets.versions import DatasetVersion, list_versions
from llm_twin.documents import Author, PreferenceSample, read_jsonl
from llm_twin.features.cleaning import CleaningReport, clean_snapshot
from llm_twin.llm import ReplyCache
from llm_twin.local.home import open_home
from llm_twin.local.services import local_services
from llm_twin.recipes import CollectionRecipe, DatasetsRecipe, FeaturesRecipe, SourceRecipe
from llm_twin.stores.warehouse import Warehouse
from llm_twin.training.registry import register_model

AUTHOR = Author(id="keeper", name="A Keeper")
RECIPE = DatasetsRecipe(embedder="", min_test_documents=2)
THINGS = ("gauge", "lamp", "rope", "ladder", "cistern", "boat", "stove", "clock", "bell", "wall", "kettle", "chart")


def build(root: Path) -> DatasetVersion:
    """Collect the folder of notes, clean, build, publish: what a run does."""
    with local_services(open_home(root), ["warehouse"]) as urls, Warehouse.connect(urls["warehouse"]) as warehouse:
        sources = [SourceRecipe(location=str(root / "notes"))]
        collected = collect(AUTHOR, CollectionRecipe(sources=sources), warehouse)
        clean = list(clean_snapshot(warehouse, collected.snapshot, FeaturesRecipe(), CleaningReport()))
    write_dataset(build_dataset(clean, RECIPE), root / "samples")
    return publish_dataset(root / "samples", root / "datasets")


def test_forgetting_reaches_data_sets_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_twin.cli import collection, datasets

    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path))
    for name in ("LLM_TWIN_MONGODB_URL", "LLM_TWIN_MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notes").mkdir()
    for number, thing in enumerate(THINGS):
        text = f"# The {thing}\n\n" + "\n\n".join(
            f"In year {year} the {thing}{number}x{year} was mended by hand{number}{year}, twice{year * number},"
            f" with wire{year + number}, tar{number}y{year} and a good deal of patience{number}z{year} from all of us."
            for year in range(1, 5)
        )
        (tmp_path / "notes" / f"{thing}.md").write_text(text, encoding="utf-8")
    before = build(tmp_path)
    (tmp_path / "mlflow").mkdir(exist_ok=True)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    uri = f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
    lineage = {"samples_digest": before.folder_digest}
    register_model(uri, AUTHOR.id, "adapter", adapter, str(tmp_path / "exports"), lineage, {})
    ReplyCache(tmp_path / "cache" / "llm" / "replies.db").put("key", "the kettle")

    pairs = list(read_jsonl(tmp_path / "samples" / "preference_train.jsonl", PreferenceSample))
    url, document = pairs[0].url, pairs[0].document_id
    name = keep_labels(tmp_path / "datasets", pairs)
    own = [pair for pair in pairs if pair.document_id == document]
    app = Typer()  # of its own: other tests of this process fill the shared one as they need
    collection.register(app)
    datasets.register(app)
    result = CliRunner().invoke(app, ["forget", url, "--yes"])
    assert result.exit_code == 0, result.output
    assert f"data set keeper {before.version} holds 1 forgotten document(s)" in result.output
    assert "model keeper-adapter version 1 was trained on one of them" in result.output
    assert not (tmp_path / "cache" / "llm" / "replies.db").exists()
    assert [v.forgotten for v in list_versions(tmp_path / "datasets", "keeper")] == [[document]]

    assert own and f"{len(own)} labelled pair(s) of forgotten documents removed" in result.output
    assert read_labels(tmp_path / "datasets", [name]) == [pair for pair in pairs if pair not in own]

    after = build(tmp_path)  # the file is still in the folder: forgetting is final all the same
    assert after.version != before.version
    for file in (tmp_path / "samples").glob("*"):
        assert document not in file.read_text(encoding="utf-8")
    assert [bool(v.forgotten) for v in list_versions(tmp_path / "datasets", "keeper")] == [True, False]
    listed = CliRunner().invoke(app, ["datasets", "list"])
    assert listed.output.count("keeper") == 2 and "holds 1 forgotten" in listed.output
    compared = CliRunner().invoke(app, ["datasets", "diff", before.version])
    assert f"document removed  {url}" in compared.output
