"""Before a run starts: does the dataset fit the model, the model the machine, the template the tokenizer?"""

from __future__ import annotations

from pathlib import Path

from llm_twin.recipes import TrainingRecipe


def check_sft(base: Path, samples: Path, recipe: TrainingRecipe, state: Path, force: bool = False) -> None:
    """Raise before a run that cannot work. (The checks land in the next change.)"""
