"""Which pipelines and recipes there are."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import components
from llm_twin.errors import InputError
from llm_twin.recipes import NO_MODEL, Recipe
from pipelines.options import BuildOptions

NAMES = (
    "twin", "authors", "endpoint", "corpus", "collection", "features", "datasets", "training", "evaluation",
    "serving", "monitoring", "sync", "batch",
)  # fmt: skip
WITHOUT_RECIPE = ("batch",)  # `twin batch` starts it
OF_ALL_AUTHORS = ("authors", "sync")  # one run for all of a sources file's authors, side by side
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


def default_pipeline(recipe: Recipe) -> str:
    """The whole way for this recipe: without a model to train, the way to an endpoint."""
    return "endpoint" if recipe.training.base_model == NO_MODEL else "twin"


def pipeline_arguments(
    recipe: Recipe, pipeline: Any, others: Sequence[Recipe] = (), given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The sections of `recipe` that the pipeline takes as parameters, as plain JSON values, and what is `given`.

    The parameter `authors` (of pipelines over many authors) is author and sources of `recipe` and of each of `others`.
    Parameters that are neither keep the pipeline's own defaults.
    """
    sections = recipe.model_dump(mode="json", exclude_none=True)  # kfp takes no nulls
    each = (one.model_dump(mode="json", exclude_none=True) for one in (recipe, *others))
    sections["authors"] = [{"author": one["author"], "collection": one["collection"]} for one in each]
    sections |= given or {}
    inputs = pipeline.component_spec.inputs
    return {name: sections[name] for name, about in inputs.items() if name in sections or not about.optional}


def stages_of_steps() -> dict[str, str]:
    """Each step's stage, by the name that kfp shows (`chunk-documents` → `features`)."""
    files = Path(components.__file__).parent.glob("*/*.py")
    return {file.stem.replace("_", "-"): file.parent.name for file in files if file.stem != "__init__"}


def describe_recipes() -> str:
    """Every key of a recipe, its type, default and meaning: the Markdown of docs/recipes.md."""
    lines = [
        "# Recipes",
        "",
        "A recipe is what one run does: a YAML file with one section a stage. An unknown key is an error that names",
        "the key, the file and the nearest known spelling. Shipped: "
        + ", ".join(f"`{file.stem}`" for file in sorted(RECIPES.glob("*.yaml")))
        + ".",
        "",
        "This page is made by `python -m pipelines keys`.",
    ]
    _describe_section(Recipe, "", lines)
    return "\n".join(lines) + "\n"


def _describe_section(section: type[BaseModel], path: str, lines: list[str]) -> None:
    doc = (section.__doc__ or "").strip().splitlines()[0]
    lines += ["", f"## {path or 'recipe'}", "", doc, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    nested = []
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            place = f"{path}.{name}" if path else name
            nested.append((annotation, place))
            lines.append(f"| `{name}` | section | | see [{place}](#{place.replace('.', '')}) |")
            continue
        type_name = getattr(annotation, "__name__", "") if isinstance(annotation, type) else str(annotation)
        for long in ("typing.", "llm_twin.recipes."):
            type_name = type_name.replace(long, "")
        type_name = type_name.replace(" | ", " or ")
        default = "required" if field.is_required() else f"`{_as_json(section, name)}`"
        lines.append(f"| `{name}` | {type_name} | {default} | {field.description or ''} |".replace("| |  |", "| | |"))
    for child, place in nested:
        _describe_section(child, place, lines)


def _as_json(section: type[BaseModel], name: str) -> str:
    """A field's default, as one would write it in a recipe."""
    default = section.model_fields[name].get_default(call_default_factory=True)
    return json.dumps(
        default, default=lambda model: model.model_dump(mode="json", exclude_none=True), ensure_ascii=False
    )
