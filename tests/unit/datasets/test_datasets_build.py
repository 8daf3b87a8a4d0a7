"""The whole build on documents written here: counts add up, words stay as they are, nothing leaks, bytes repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_twin.datasets import build_dataset, read_manifest, render_report, require_no_leaks, write_dataset
from llm_twin.datasets.leaks import measure_leaks
from llm_twin.digests import digest_path
from llm_twin.documents import CleanDocument, InstructionSample, PreferenceSample, read_jsonl
from llm_twin.errors import InputError, QualityError
from llm_twin.recipes import DatasetsRecipe

Make = Callable[..., CleanDocument]
Write = Callable[[int, int], str]
PLAIN = DatasetsRecipe(embedder="")


@pytest.fixture
def documents(make_document: Make, write_text: Write) -> list[CleanDocument]:
    return [make_document(f"# Part {n}\n\nI can’t say — really — {n}.\n\n{write_text(n, 5)}", n) for n in range(30)]


def test_every_passage_is_kept_or_counted(documents: list[CleanDocument], tmp_path: Path) -> None:
    built = build_dataset(documents, PLAIN)
    assert built.passages >= 60
    assert len(built.instructions) + sum(built.dropped.counts.values()) == built.passages
    assert len(built.preferences) + sum(built.unpaired.values()) == len(built.instructions)
    by_id = {d.document_id: d for d in documents}
    for sample in built.instructions:
        assert sample.output in by_id[sample.document_id].text
        assert sample.split == built.splits[sample.document_id]
        assert sample.output not in sample.instruction
    manifest = write_dataset(built, tmp_path / "samples")
    assert {s["split"] for s in manifest["sources"]} == {"train", "validation", "test"}
    held_out = list(read_jsonl(tmp_path / "samples" / "heldout_documents.jsonl", CleanDocument))
    assert {d.document_id: d.metadata["split"] for d in held_out} == {
        name: split for name, split in built.splits.items() if split != "train"
    }
    assert manifest["content"] in render_report(built, manifest)


def test_the_same_inputs_give_the_same_bytes_in_any_order(documents: list[CleanDocument], tmp_path: Path) -> None:
    write_dataset(build_dataset(documents, PLAIN), tmp_path / "a")
    write_dataset(build_dataset(documents[::-1], PLAIN), tmp_path / "b")
    assert digest_path(tmp_path / "a") == digest_path(tmp_path / "b")
    write_dataset(build_dataset(documents, PLAIN.model_copy(update={"seed": 3})), tmp_path / "c")
    assert digest_path(tmp_path / "c") != digest_path(tmp_path / "a")


def test_an_excerpt_of_a_test_document_is_not_trained_on(
    documents: list[CleanDocument], make_document: Make, write_text: Write
) -> None:
    first = build_dataset(documents, PLAIN)
    stolen = next(s for s in first.instructions if s.split == "test").output
    taken = stolen.split(". ")[0]  # one sentence: too little to bind the documents, enough to leak
    quoting = make_document(f"{write_text(77, 4)} {taken}. {write_text(78, 1)}\n\n{write_text(79, 6)}", 500)
    built = build_dataset([*documents, quoting], PLAIN)
    if built.splits[quoting.document_id] == "train":
        assert built.dropped.counts["held-out text"] >= 1
    assert built.leaks["leaked"] == 0


def test_samples_that_leak_are_found_and_fail_the_step(documents: list[CleanDocument]) -> None:
    built = build_dataset(documents, PLAIN)
    held_out = next(s for s in built.instructions if s.split == "test")
    train = next(s for s in built.instructions if s.split == "train")
    copied = train.model_copy(update={"sample_id": "copy", "output": f"As I said: {held_out.output} So there."})
    leaks = measure_leaks([*built.instructions, copied], PLAIN, {})
    assert leaks["leaked"] == 1 and leaks["pairs"]["train/test"]["shared_text"] == 1
    with pytest.raises(QualityError, match="1 of"):
        require_no_leaks(leaks, PLAIN)
    require_no_leaks(leaks, PLAIN.model_copy(update={"max_leaked_share": 0.5}))
    same = train.model_copy(update={"sample_id": "other", "split": "test", "output": "Quite other words altogether."})
    assert measure_leaks([*built.instructions, same], PLAIN, {})["pairs"]["train/test"]["same_document"] == 1


def test_evaluation_prompts_are_not_trained_on(documents: list[CleanDocument]) -> None:
    plain = build_dataset(documents, PLAIN)
    sample = next(s for s in plain.instructions if s.split == "train")
    prompt = " ".join(sample.output.split()[:12])
    built = build_dataset(documents, PLAIN.model_copy(update={"evaluation_prompts": [prompt]}))
    assert built.dropped.counts["evaluation prompt"] == 1
    assert sample.output not in {s.output for s in built.instructions}


def test_nothing_to_train_on_is_an_error(make_document: Make) -> None:
    with pytest.raises(QualityError, match="no training sample"):
        build_dataset([make_document("Too short.")], PLAIN)


def test_a_changed_file_is_noticed(documents: list[CleanDocument], tmp_path: Path) -> None:
    write_dataset(build_dataset(documents, PLAIN), tmp_path / "samples")
    read_manifest(tmp_path / "samples")
    file = tmp_path / "samples" / "preference_test.jsonl"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(InputError, match="preference_test.jsonl"):
        read_manifest(tmp_path / "samples")


def test_preference_pairs_differ_and_say_why(documents: list[CleanDocument]) -> None:
    built = build_dataset(documents, PLAIN)
    assert built.preferences
    for pair in built.preferences:
        assert isinstance(pair, PreferenceSample) and pair.rejected != pair.chosen
        assert pair.reason.startswith("the same content in a flattened voice: ")
        assert 0.5 < pair.confidence <= 1
        assert 0.5 < len(pair.rejected) / len(pair.chosen) < 1.6


def test_thin_topics_get_more_instructions_for_the_same_outputs(documents: list[CleanDocument], tmp_path: Path) -> None:
    class Letters:
        """Vectors by the first letters: two groups, one small."""

        def encode(self, texts: list[str]):
            import numpy as np

            rows = [[1.0, 0.0] if sum(map(ord, text)) % 7 else [0.0, 1.0] for text in texts]
            noise = np.random.default_rng(1).normal(0, 0.05, (len(texts), 2))
            vectors = np.array(rows) + noise
            return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    recipe = DatasetsRecipe(augment_topics_to=40, max_cosine=1.0, max_leaked_share=1.0)
    built = build_dataset(documents, recipe, Letters())
    added = [s for s in built.instructions if s.instruction_source == "augmented"]
    assert added and built.made["augmented"] == len(added)
    plain = [s for s in built.instructions if s.instruction_source != "augmented"]
    assert {s.output for s in added} <= {s.output for s in plain if s.split == "train"}
    assert len({(s.instruction, s.output) for s in built.instructions}) == len(built.instructions)
    assert any("topic" in line.lower() for line in built.quality["advice"]) or not any(
        topic["thin"] for topic in built.quality["topics"]
    )
    json.dumps(built.quality)
    assert all(isinstance(s, InstructionSample) for s in added)
