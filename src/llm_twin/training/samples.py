"""The samples folder as training sees it: conversations for SFT, pairs for DPO, documents for perplexity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_twin.documents import CleanDocument, InstructionSample, PreferenceSample, Split, read_jsonl
from llm_twin.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

REMEDY = "collect more of the author's writing, or loosen datasets.min_output_words, and build the datasets again"


def instruction_samples(folder: Path, split: Split) -> list[InstructionSample]:
    """The instruction samples of a split, in the file's order; none where the file is missing."""
    path = folder / f"instruction_{split}.jsonl"
    return list(read_jsonl(path, InstructionSample)) if path.is_file() else []


def preference_samples(folder: Path, split: Split) -> list[PreferenceSample]:
    """The preference pairs of a split, in the file's order; none where the file is missing."""
    path = folder / f"preference_{split}.jsonl"
    return list(read_jsonl(path, PreferenceSample)) if path.is_file() else []


def heldout_documents(folder: Path) -> list[CleanDocument]:
    """The documents that no training sample was taken from; none where the file is missing."""
    path = folder / "heldout_documents.jsonl"
    return list(read_jsonl(path, CleanDocument)) if path.is_file() else []


def training_instructions(folder: Path) -> list[InstructionSample]:
    """The training split; raises InputError when the folder or the samples are missing."""
    if not folder.is_dir():
        raise InputError(f"no such samples folder: {folder}", "give the folder that build_datasets wrote")
    samples = instruction_samples(folder, "train")
    if not samples:
        raise InputError(f"{folder} holds no instruction samples to train on", REMEDY)
    return samples


def training_preferences(folder: Path) -> list[PreferenceSample]:
    """The training pairs; raises InputError when there are none."""
    samples = preference_samples(folder, "train")
    if not samples:
        raise InputError(f"{folder} holds no preference pairs to train on", f"{REMEDY}, or set training.dpo_epochs: 0")
    return samples


def training_author(folder: Path) -> str:
    """Whose samples these are; empty for an empty folder."""
    found = instruction_samples(folder, "train") or preference_samples(folder, "train")
    return found[0].author if found else ""


def conversations(samples: list[InstructionSample]) -> Dataset:
    """Columns prompt and completion, each a list with one chat message: TRL's conversational form."""
    from datasets import Dataset

    return Dataset.from_list(
        [{"prompt": [_turn("user", s.instruction)], "completion": [_turn("assistant", s.output)]} for s in samples]
    )


def pairs(samples: list[PreferenceSample]) -> Dataset:
    """Columns prompt, chosen and rejected, each a list with one chat message."""
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "prompt": [_turn("user", s.instruction)],
                "chosen": [_turn("assistant", s.chosen)],
                "rejected": [_turn("assistant", s.rejected)],
            }
            for s in samples
        ]
    )


def _turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}
