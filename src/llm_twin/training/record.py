"""What a run was made of: enough to do it again and to say whether the result is the same."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_json, digest_path
from llm_twin.recipe_training import TrainingRecipe

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "bitsandbytes")


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that decide the result."""
    return {name: version for name in LIBRARIES if (version := _version(name))}


def run_record(step: str, recipe: TrainingRecipe, hardware: dict[str, Any], inputs: dict[str, Path]) -> dict[str, Any]:
    """Seed, recipe and its hash, hashes of the inputs, versions and machine of a training step; no times."""
    return {
        "step": step,
        "seed": recipe.seed,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_hash": digest_json(recipe.model_dump(mode="json")),
        "inputs": {name: digest_path(path) for name, path in sorted(inputs.items())},
        "hardware": hardware,
        "versions": installed_versions(),
        "python": platform.python_version(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
