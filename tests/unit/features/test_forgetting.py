"""What names a forgotten document goes, whole; the rest stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_twin.features import forgetting
from llm_twin.features.forgetting import forget_entries

SECRET, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


def fill(folder: Path) -> None:
    for name, document in (("one", SECRET), ("two", OTHER)):
        inner = folder / name / "vectors"
        inner.mkdir(parents=True)
        (inner / "dense").write_bytes(bytes(1000))
        (inner / "manifest.json").write_text(f'{{"documents": ["{document}"]}}')
    (folder / "report.html").write_text(f"<p>{SECRET}</p>")
    (folder / "empty").write_bytes(b"")


def left(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_entries_that_name_a_document_go_whole(tmp_path: Path) -> None:
    fill(tmp_path)
    assert [entry.name for entry in forget_entries(tmp_path, [SECRET])] == ["one", "report.html"]
    assert left(tmp_path) == {"two", "empty"}
    assert forget_entries(tmp_path, [SECRET]) == []


def test_nothing_named_nothing_gone(tmp_path: Path) -> None:
    fill(tmp_path)
    assert forget_entries(tmp_path, []) == forget_entries(tmp_path, [""]) == []
    assert forget_entries(tmp_path / "missing", [SECRET]) == []
    assert left(tmp_path) == {"one", "two", "report.html", "empty"}


@pytest.mark.parametrize("offset", [0, 1, 31, 32, 33, 63, 64, 100])
def test_a_name_across_two_blocks_is_found(tmp_path: Path, offset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "BLOCK_BYTES", 64)
    (tmp_path / "file").write_bytes(b"." * offset + SECRET.encode() + b"." * 200)
    assert len(forget_entries(tmp_path, [OTHER, SECRET])) == 1


def test_what_a_killed_call_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "one").rename(tmp_path / f"{forgetting.GOING}one")
    forget_entries(tmp_path, [SECRET])
    assert left(tmp_path) == {"two", "empty"}
