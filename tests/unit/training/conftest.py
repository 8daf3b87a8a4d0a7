"""Tiny real models and an invented author, made on the spot."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from llm_twin.documents import CleanDocument, InstructionSample, PreferenceSample, stable_id, write_jsonl
from llm_twin.recipe_training import SeedlingRecipe, TrainingRecipe

SUBJECTS = [
    "bread",
    "kettles",
    "rain",
    "ladders",
    "moss",
    "trains",
    "paint",
    "soup",
    "clocks",
    "string",
    "wool",
    "bells",
]
VERBS = ["wants", "keeps", "loses", "mends", "forgets", "carries"]
ENDS = ["before the kitchen wakes", "when nobody asks", "in its own slow way", "and says nothing of it"]


def paragraph(subject: str, number: int) -> str:
    """A few invented sentences with a voice of their own."""
    pick = random.Random(f"{subject} {number}")
    lines = [f"My {subject} {pick.choice(VERBS)} a little {pick.choice(ENDS)}." for _ in range(2 + number % 3)]
    return " ".join(lines)


@pytest.fixture(scope="session")
def tiny_recipe() -> TrainingRecipe:
    """A seedling of some fifty thousand parameters, and runs of a few steps."""
    seedling = SeedlingRecipe(
        packages=["trl"], max_words=4000, vocabulary=512, hidden_size=32, layers=2, heads=4, key_value_heads=2,
        intermediate_size=64, context=256, block=64, batch_size=4, steps=12,
    )  # fmt: skip
    return TrainingRecipe(
        seedling=seedling, device="cpu", precision="fp32", max_length=192, lora_rank=4, lora_alpha=8, sft_epochs=2,
        sft_learning_rate=5e-3, sft_batch_size=4, dpo_learning_rate=1e-3, dpo_batch_size=4, save_steps=4, evaluations=1,
        quantize_group_size=32, quantize_samples=4,
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, tiny_recipe: TrainingRecipe) -> Path:
    """The tiny seedling, prepared once."""
    from llm_twin.training.base import prepare_base

    root = tmp_path_factory.mktemp("base")
    prepare_base(tiny_recipe, root / "model", root / "cache")
    return root / "model"


@pytest.fixture(scope="session")
def tiny_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A samples folder of an invented author: 8 documents to train on, 2 to validate, 2 to test."""
    folder = tmp_path_factory.mktemp("samples")
    splits = {"train": SUBJECTS[:8], "validation": SUBJECTS[8:10], "test": SUBJECTS[10:]}
    for split, subjects in splits.items():
        instructions, pairs = [], []
        for subject in subjects:
            for number in range(4):
                text = paragraph(subject, number)
                common = {
                    "document_id": stable_id(subject),
                    "revision_id": "1",
                    "author": "wren",
                    "url": f"https://wren.example/{subject}",
                    "split": split,
                    "instruction": f"Write about {subject}, part {number}.",
                }
                instructions.append(
                    InstructionSample(
                        sample_id=stable_id(subject, str(number)), kind="article", output=text,
                        instruction_source="template", **common,
                    )
                )  # fmt: skip
                words = text.split()
                random.Random(number).shuffle(words)
                pairs.append(
                    PreferenceSample(
                        sample_id=stable_id("pair", subject, str(number)), chosen=text,
                        rejected=" ".join(words).lower(), rejected_source="degraded",
                        reason="words out of order", confidence=1, **common,
                    )
                )  # fmt: skip
        write_jsonl(folder / f"instruction_{split}.jsonl", instructions)
        write_jsonl(folder / f"preference_{split}.jsonl", pairs)
    held = [
        CleanDocument(
            document_id=stable_id(s), revision_id="1", author="wren", platform="site", kind="article",
            url=f"https://wren.example/{s}", text=(t := "\n\n".join(paragraph(s, n) for n in range(4))),
            retrieval_text=t,
        )
        for s in SUBJECTS[8:]
    ]  # fmt: skip
    write_jsonl(folder / "heldout_documents.jsonl", held)
    return folder
