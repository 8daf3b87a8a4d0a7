"""The data set of real articles, through collection and cleaning as a run does it: no leaks, not a byte changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_twin.collection.collect import collect
from llm_twin.datasets import BuiltDataset, build_dataset, require_no_leaks
from llm_twin.documents import Author, Document
from llm_twin.features.cleaning import CleaningReport, clean_snapshot
from llm_twin.local.home import open_home
from llm_twin.local.services import local_services
from llm_twin.recipes import CollectionRecipe, DatasetsRecipe, FeaturesRecipe, SourceRecipe
from llm_twin.similarity.tokens import normalise_words
from llm_twin.stores.warehouse import Warehouse

RUN_WORDS = 13  # the run of words that counts as shared


@pytest.fixture(scope="module")
def handbook() -> Path:
    root = os.environ.get("LLM_TWIN_TEST_DATA")
    if not root or not (Path(root) / "handbook" / "ArticleDocument.json").is_file():
        pytest.skip("LLM_TWIN_TEST_DATA with the handbook's export is not set")
    return Path(root) / "handbook"


@pytest.fixture(scope="module")
def made(
    handbook: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BuiltDataset, dict[str, Document]]]:
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_TWIN_HOME", str(root))
        patch.delenv("LLM_TWIN_MONGODB_URL", raising=False)
        home = open_home(root)
        with local_services(home, ["warehouse"]) as urls, Warehouse.connect(urls["warehouse"]) as warehouse:
            recipe = CollectionRecipe(sources=[SourceRecipe(location=str(handbook))])
            collected = collect(Author(id="handbook", name="The handbook's authors"), recipe, warehouse)
            revisions = {d.revision_id: d for d in warehouse.read_snapshot(collected.snapshot)}
            clean = list(clean_snapshot(warehouse, collected.snapshot, FeaturesRecipe(), CleaningReport()))
    yield build_dataset(clean, DatasetsRecipe(embedder="")), revisions


def test_every_target_stands_byte_for_byte_in_its_source_revision(
    made: tuple[BuiltDataset, dict[str, Document]],
) -> None:
    built, revisions = made
    assert len(built.instructions) > 500
    for sample in built.instructions:
        source = revisions[sample.revision_id]
        assert source.document_id == sample.document_id
        assert sample.output.encode() in source.text.encode()
    for pair in built.preferences:
        assert pair.chosen.encode() in revisions[pair.revision_id].text.encode()


def test_apostrophes_dashes_emoji_and_line_breaks_survive(made: tuple[BuiltDataset, dict[str, Document]]) -> None:
    built, _ = made
    outputs = "\n\n".join(sample.output for sample in built.instructions)
    for mark in ("’", "'", "—", "“", "\n", "\n\n", "↓", "🔗"):
        assert mark in outputs, mark


def test_nothing_leaks_across_splits(made: tuple[BuiltDataset, dict[str, Document]]) -> None:
    built, _ = made
    assert built.leaks["leaked"] == 0 and built.leaks["held_out"] > 100
    require_no_leaks(built.leaks, DatasetsRecipe())
    # once more, by another and slower way: sets of word runs as tuples, held-out outputs against all earlier text
    runs: dict[str, set[tuple[str, ...]]] = {}
    for sample in built.instructions:
        words = normalise_words(f"{sample.instruction}\n{sample.output}")
        runs.setdefault(sample.split, set()).update(
            tuple(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1)
        )
    for split, earlier in (("validation", ("train",)), ("test", ("train", "validation"))):
        for sample in (s for s in built.instructions if s.split == split):
            words = normalise_words(sample.output)
            own = {tuple(words[i : i + RUN_WORDS]) for i in range(len(words) - RUN_WORDS + 1)}
            assert not any(own & runs[name] for name in earlier)
    by_split = {name: {s.document_id for s in built.instructions if s.split == name} for name in runs}
    assert not by_split["train"] & (by_split["test"] | by_split["validation"])


def test_what_was_left_out_is_all_accounted_for(made: tuple[BuiltDataset, dict[str, Document]]) -> None:
    built, _ = made
    assert len(built.instructions) + sum(built.dropped.counts.values()) == built.passages
    assert built.dropped.counts["duplicate"] > 0 and built.dropped.counts["held-out text"] > 0
