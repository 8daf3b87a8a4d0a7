"""Whole runs over a folder: edits, removals, repairs, a second author, and what may not come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_twin.collection.collect import collect
from llm_twin.collection.quality import check_quality, find_breaches, measure_quality, render_html, render_markdown
from llm_twin.collection.results import Collected
from llm_twin.documents import Author
from llm_twin.errors import InputError, QualityError
from llm_twin.recipes import CollectionRecipe, SourceRecipe
from llm_twin.stores.warehouse import Warehouse
from tests.integration.warehouse_process import running_warehouse

ADA = Author(id="ada", name="Ada Moss")
WORDS = "The tide came in twice that day — and nobody minded, least of all the gulls."


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with running_warehouse(tmp_path_factory.mktemp("runs")) as where, Warehouse.connect(*where) as warehouse:
        yield warehouse


def run(warehouse: Warehouse, *folders: Path, author: Author = ADA) -> Collected:
    recipe = CollectionRecipe(sources=[SourceRecipe(location=str(folder)) for folder in folders])
    return collect(author, recipe, warehouse)


def test_the_life_of_a_folder(warehouse: Warehouse, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in "abc":
        (notes / f"{name}.md").write_text(f"# Note {name}\n\n{WORDS} {name}\n")
    first = run(warehouse, notes)
    assert dict(first.counts) == {"inserted": 3}
    assert run(warehouse, notes).snapshot == first.snapshot

    (notes / "a.md").write_text("# Note a\n\nEdited. Write to jane.doe@acme.io.\n")
    (notes / "b.md").unlink()
    second = run(warehouse, notes)
    assert dict(second.counts) == {"changed": 1, "unchanged": 1, "gone": 1}
    assert [t["url"] for t in warehouse.list_tombstones("ada")] == ["folder://notes/b.md"]
    assert len(list(warehouse.read_snapshot(first.snapshot))) == 3  # the old name still means the old texts

    (notes / "d.md").write_text("---\ntitle: [\n---\nx\n")
    (notes / "c.md").unlink()
    broken = run(warehouse, notes)
    assert [(f.url, f.reason) for f in broken.failures] == [("folder://notes/d.md", "invalid-front-matter")]
    assert "gone" not in broken.counts  # a listing with failures is no proof that anything is gone
    quality = measure_quality(broken, warehouse.read_snapshot(broken.snapshot))
    with pytest.raises(QualityError, match="folder://notes/d.md"):
        check_quality(quality, CollectionRecipe(max_failed_share=0.1))
    check_quality(quality, CollectionRecipe(max_failed_share=0.9))
    assert [item["url"] for item in warehouse.list_quarantine("ada")] == ["folder://notes/d.md"]

    assert quality.metrics()["failed"] == 1 and quality.masked == {"email": 1}
    for report in (render_html(quality), render_markdown(quality)):
        assert "invalid-front-matter" in report and "folder://notes/d.md" in report and "jane.doe" not in report

    (notes / "d.md").write_text(f"Mended. {WORDS}\n")
    mended = run(warehouse, notes)
    assert mended.counts["gone"] == 1 and warehouse.list_quarantine("ada") == []


def test_each_threshold_of_the_recipe_is_crossed_by_what_it_forbids(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    german = "Die Flut kam an jenem Tag zweimal, und niemand hatte etwas dagegen, am wenigsten die Möwen am Kai."
    texts = {"a": WORDS, "b": WORDS, "c": f"{WORDS} " * 9, "d": german}
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(f"---\ndate: 2024-05-0{len(name)}\n---\n{text}\n")
    (folder / "e.md").write_text(f"{WORDS} Undated, but else a text like the others are.\n")
    dee = Author(id="dee", name="Dee")
    run(warehouse, folder, author=dee)
    (folder / "d.md").rename(folder / "f.md")
    collected = run(warehouse, folder, author=dee)
    quality = measure_quality(collected, warehouse.read_snapshot(collected.snapshot))
    assert quality.shares == {
        "failed": 0, "vanished": 0.2, "duplicate": 0.2, "short": 0.8, "undated": 0.2, "foreign": 0.2,
    }  # fmt: skip
    assert find_breaches(quality, CollectionRecipe()) == []
    allowed = dict.fromkeys([f"max_{name}_share" for name in quality.shares], 0.9) | {"min_documents": 5}
    assert find_breaches(quality, CollectionRecipe.model_validate(allowed)) == []
    for key, value in [
        *((f"max_{name}_share", 0.1) for name in quality.shares if name != "failed"),
        *(("min_documents", 6), ("min_words", 10_000)),
    ]:
        (line,) = find_breaches(quality, CollectionRecipe.model_validate(allowed | {key: value}))
        assert f"({key})" in line
        with pytest.raises(QualityError, match=key):
            check_quality(quality, CollectionRecipe.model_validate(allowed | {key: value}))


def test_the_first_source_has_the_say(warehouse: Warehouse, tmp_path: Path) -> None:
    link = "---\ncanonical_url: https://eve.example/one\n---\n"
    left, right = tmp_path / "left", tmp_path / "right"
    for folder in (left, right):
        folder.mkdir()
        (folder / "one.md").write_text(f"{link}{WORDS} In {folder.name}.\n")
    eve = Author(id="eve", name="Eve")
    for _ in range(2):
        collected = run(warehouse, left, right, author=eve)
        (document,) = warehouse.current_documents("eve")
        assert "In left." in document.text and collected.counts["duplicate"] == 1


def test_the_forgotten_do_not_come_back(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "diary"
    folder.mkdir()
    (folder / "x.md").write_text(f"{WORDS} x\n")
    (folder / "y.md").write_text(f"{WORDS} y\n")
    bob = Author(id="bob", name="Bob")
    run(warehouse, folder, author=bob)
    warehouse.forget("folder://diary/x.md")
    again = run(warehouse, folder, author=bob)
    assert again.counts["forgotten"] == 1
    assert [d.url for d in warehouse.current_documents("bob")] == ["folder://diary/y.md"]
    warehouse.forget("bob")
    with pytest.raises(InputError, match="forgotten"):
        run(warehouse, folder, author=bob)


def test_a_source_that_gives_nothing_is_named_and_the_rest_goes_on(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    (folder / "x.md").write_text(f"{WORDS} x\n")
    recipe = CollectionRecipe(
        sources=[SourceRecipe(location="http://127.0.0.1:9/feed"), SourceRecipe(location=str(folder))]
    )
    collected = collect(Author(id="cyd", name="Cyd"), recipe, warehouse)
    assert collected.counts["inserted"] == 1
    (failure,) = collected.failures
    assert failure.reason == "source" and "private-address" in failure.detail
