"""Which pipelines and recipes there are."""

from __future__ import annotations

import difflib
import importlib
from pathlib import Path
from typing import Any

import components
from llm_twin.errors import InputError
from llm_twin.recipes import Recipe
from pipelines.options import BuildOptions

NAMES = (
    "twin", "corpus", "collection", "features", "datasets", "training", "evaluation", "serving", "monitoring",
)  # fmt: skip
RECIPES = Path(__file__).parent / "recipes"


def build_pipeline(name: str, options: BuildOptions) -> Any:
    """The pipeline of that name, built with `options`."""
    return importlib.import_module(f"pipelines.{name}").build(options)


def find_recipe(name_or_path: str) -> Path:
    """A recipe file: a path, or the name of one that ships. Raises InputError with a likely spelling."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    shipped = RECIPES / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    known = sorted(file.stem for file in RECIPES.glob("*.yaml"))
    close = difflib.get_close_matches(name_or_path, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "give one of these or a path ending in .yaml"
    raise InputError(f"no recipe {name_or_path!r}; shipped: {', '.join(known)}", hint)


def pipeline_arguments(recipe: Recipe, pipeline: Any) -> dict[str, Any]:
    """The sections of `recipe` that the pipeline takes as parameters, as plain JSON values."""
    sections = recipe.model_dump(mode="json")
    return {name: sections[name] for name in pipeline.component_spec.inputs}


def stages_of_steps() -> dict[str, str]:
    """Each step's stage, by the name that kfp shows (`chunk-documents` → `features`)."""
    files = Path(components.__file__).parent.glob("*/*.py")
    return {file.stem.replace("_", "-"): file.parent.name for file in files if file.stem != "__init__"}
