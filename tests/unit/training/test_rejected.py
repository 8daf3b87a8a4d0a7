"""Rejected sides by the model in training: its own texts, the same for the same seed, counted; nothing else changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_twin.documents import Split
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.rejected import write_rejected
from llm_twin.training.samples import preference_samples


@pytest.fixture(scope="module")
def adapter(
    tiny_base: Path, tiny_samples: Path, tiny_recipe: TrainingRecipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    from llm_twin.training.sft import train_sft

    root = tmp_path_factory.mktemp("sft")
    train_sft(tiny_base, tiny_samples, tiny_recipe, root / "adapter", root / "work")
    return root / "adapter"


@pytest.mark.parametrize("source", ["sft", "base"])
def test_half_of_the_pairs_are_against_the_models_own_texts(
    tiny_base: Path, tiny_samples: Path, tiny_recipe: TrainingRecipe, adapter: Path, tmp_path: Path, source: str
) -> None:
    recipe = tiny_recipe.model_copy(update={"rejected_from": source})
    splits: tuple[Split, ...] = ("train", "validation")
    before = {split: preference_samples(tiny_samples, split) for split in splits}
    counts = write_rejected(tiny_base, adapter, tiny_samples, recipe, tmp_path / "pairs")
    after = {split: preference_samples(tmp_path / "pairs", split) for split in before}
    written = {split: [pair for pair in pairs if pair.rejected_source == source] for split, pairs in after.items()}
    left_out = counts.get("too_short", 0) + counts.get("the_authors_own_words", 0)
    asked = len(before["train"]) // 2 + len(before["validation"])
    assert counts["model_written"] + left_out == asked and counts["model_written"] > asked // 2
    assert len(written["train"]) + len(written["validation"]) == counts["model_written"]
    assert [len(after[split]) for split in after] == [
        len(before["train"]),  # in the place of the rewrites
        len(before["validation"]) + len(written["validation"]),  # beside them, so that both are measured
    ]
    originals = {(pair.document_id, pair.chosen, pair.instruction) for pair in before["train"]}
    assert {(pair.document_id, pair.chosen, pair.instruction) for pair in after["train"]} == originals
    assert all(pair.rejected not in {p.rejected for p in before["train"]} for pair in written["train"])
    assert all(f"the {source} model" in pair.reason and pair.split == "train" for pair in written["train"])
    same = ("instruction_train.jsonl", "instruction_validation.jsonl")
    assert all((tmp_path / "pairs" / name).read_bytes() == (tiny_samples / name).read_bytes() for name in same)
    write_rejected(tiny_base, adapter, tiny_samples, recipe, tmp_path / "again")
    names = [path.name for path in (tmp_path / "pairs").iterdir()]
    assert all((tmp_path / "pairs" / n).read_bytes() == (tmp_path / "again" / n).read_bytes() for n in names)


def test_without_a_wish_the_pairs_stay_as_they_are(
    tiny_base: Path, tiny_samples: Path, tiny_recipe: TrainingRecipe, tmp_path: Path
) -> None:
    counts = write_rejected(tiny_base, tmp_path / "no-adapter", tiny_samples, tiny_recipe, tmp_path / "pairs")
    assert counts["model_written"] == 0 and counts["pairs"] == len(preference_samples(tiny_samples, "train"))
    for path in tiny_samples.iterdir():
        assert (tmp_path / "pairs" / path.name).read_bytes() == path.read_bytes()
