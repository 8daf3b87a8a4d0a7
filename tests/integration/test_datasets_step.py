"""The step build_datasets as kfp.local runs it: sealed samples, a published version, a report."""

import random
from pathlib import Path

import pytest

from llm_twin.datasets import read_manifest
from llm_twin.datasets.versions import list_versions
from llm_twin.documents import CleanDocument, stable_id, write_jsonl


def test_the_step_seals_publishes_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kfp import dsl, local

    from components.datasets.build_datasets import build_datasets

    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    for name in ("LLM_TWIN_LLM_BASE_URL", "LLM_TWIN_MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    chance = random.Random(1)
    words = ["".join(chance.choices("bdfgklmnprstaeiou", k=chance.randint(4, 9))) for _ in range(3000)]
    documents = []
    for number in range(15):
        text = "\n\n".join(" ".join(chance.choices(words, k=60)).capitalize() + "." for _ in range(4))
        url = f"https://author.example/{number}"
        documents.append(
            CleanDocument(
                document_id=stable_id("a", url), revision_id=stable_id(text), author="a", platform="site",
                kind="article", url=url, title=f"Piece {number}", text=text, retrieval_text=text,
            )
        )  # fmt: skip
    write_jsonl(tmp_path / "documents.jsonl", documents)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"), raise_on_error=True)

    @dsl.pipeline
    def build(recipe: dict):
        given = dsl.importer(artifact_uri=str(tmp_path / "documents.jsonl"), artifact_class=dsl.Dataset)
        build_datasets(documents=given.output, recipe=recipe, code="x")

    build(recipe={"embedder": ""})
    (sealed,) = (tmp_path / "home" / "artifacts" / "content").glob("*/samples")
    manifest = read_manifest(sealed)
    (version,) = list_versions(tmp_path / "home" / "datasets", "a")
    assert version.version == "1.0.0" and version.content == manifest["content"]
    assert version.folder_digest == sealed.parent.name  # what models' lineage names
    (report,) = (tmp_path / "runs").glob("*/build-datasets/report")
    page = report.read_text(encoding="utf-8")
    assert manifest["content"] in page and "0 of" in page
