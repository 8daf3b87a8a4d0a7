"""Digests: equal content, equal digest; an edit anywhere below changes it, an edit elsewhere does not."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import llm_twin
from llm_twin.artifacts import seal
from llm_twin.digests import digest_json, digest_path

PROGRAM = "from llm_twin.digests import digest_code; print(digest_code('llm_twin.documents'))"


def _digest_of_copy(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_code_digest_sees_edits_below_and_only_those(tmp_path) -> None:
    shutil.copytree(Path(llm_twin.__file__).parent, tmp_path / "llm_twin", ignore=shutil.ignore_patterns("data"))
    before = _digest_of_copy(tmp_path)
    assert _digest_of_copy(tmp_path) == before
    unrelated = tmp_path / "llm_twin" / "recipes.py"
    unrelated.write_text(unrelated.read_text() + "\n# a note\n")
    assert _digest_of_copy(tmp_path) == before
    below = tmp_path / "llm_twin" / "errors.py"  # documents.py imports it
    below.write_text(below.read_text() + "\n# a note\n")
    assert _digest_of_copy(tmp_path) != before


def test_json_digest_ignores_key_order() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 2})


def test_folder_digest_holds_names_and_contents(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("one")
    first = digest_path(tmp_path)
    (tmp_path / "a" / "x.txt").rename(tmp_path / "a" / "y.txt")
    assert digest_path(tmp_path) != first


@pytest.mark.parametrize("as_folder", [False, True])
def test_equal_artifacts_get_one_address(tmp_path, monkeypatch, as_folder: bool) -> None:
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    uris = []
    for run in ("first", "second"):
        path = tmp_path / run / "samples"
        if as_folder:
            path.mkdir(parents=True)
            (path / "part.jsonl").write_text("{}\n")
        else:
            path.parent.mkdir(parents=True)
            path.write_text("{}\n")
        artifact = SimpleNamespace(path=str(path), uri=str(path), metadata={})
        seal(artifact)
        assert not path.exists()
        uris.append(artifact.uri)
    assert uris[0] == uris[1]
    assert Path(uris[0]).exists()


def test_an_artifact_in_a_bucket_stays_where_it_is(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    path = tmp_path / "samples"
    path.write_text("{}\n")
    artifact = SimpleNamespace(path=str(path), uri="s3://bucket/samples", metadata={})
    digest = seal(artifact)
    assert artifact.uri == "s3://bucket/samples"
    assert artifact.metadata == {"digest": digest}
    assert path.exists()
