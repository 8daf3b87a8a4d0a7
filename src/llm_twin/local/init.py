"""What `twin init` writes: a recipe and a sources file for a twin of one's own."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from llm_twin.errors import InputError
from llm_twin.recipes import NO_MODEL, load_recipe, load_sources

RECIPE_HEAD = """\
# {name}'s twin. Every key and its default: docs/recipes.md. Run it with
#   twin run --recipe {path}
"""
SOURCES_HEAD = """\
# Where {name}'s writing is: feeds, sites, export files (paths count from this file's folder), repositories.
"""


def make_slug(name: str) -> str:
    """`Odalys Fenwick` → `odalys-fenwick`; raises InputError for a name without a letter or digit."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63]
    if not slug:
        raise InputError(f"no id can be made of the name {name!r}", "give one with --id, such as jane-doe")
    return slug


def check_source(location: str) -> str:
    """The location if it looks collectable: an http(s) URL, or a file or folder that exists (made absolute).

    Raises InputError otherwise.
    """
    scheme = urlsplit(location).scheme
    if scheme in ("http", "https"):
        if not urlsplit(location).hostname:
            raise InputError(f"{location!r} names no host", "give a full URL, such as https://jane.example/feed.xml")
        return location
    if scheme and len(scheme) > 1:  # one letter is a drive
        raise InputError(f"{location!r} is neither http(s) nor a file", "give a URL, an export file or a folder")
    path = Path(location).expanduser()
    if not path.exists():
        raise InputError(f"no such file or folder: {location}", "give the export file as you downloaded it, unchanged")
    return str(path.absolute())


def write_twin(
    folder: Path,
    name: str,
    sources: list[str],
    *,
    author_id: str = "",
    email: str = "",
    base_model: str = "",
    endpoint: str = "",
    endpoint_model: str = "",
    replace: bool = False,
) -> tuple[Path, Path]:
    """Write `recipe.yaml` and `sources.yaml` into `folder`, check that they load, return their paths.

    Without `base_model` it is the seedling, or with an endpoint none. Raises InputError for existing files (unless
    `replace`), an unusable source, or no source at all.
    """
    if not sources:
        raise InputError("no sources given", "give at least one --link URL or --export FILE")
    slug = author_id or make_slug(name)
    recipe_path, sources_path = folder / "recipe.yaml", folder / "sources.yaml"
    if not replace and (recipe_path.exists() or sources_path.exists()):
        raise InputError(f"{folder} already holds a twin's files", "name another folder, or add --replace")
    author = {"id": slug, "name": name, **({"email": email} if email else {})}
    locations = [{"location": check_source(source)} for source in sources]
    recipe: dict[str, object] = {
        "name": slug.replace("-", "_"),
        "author": author,
        "collection": {"sources_file": sources_path.name},
        "training": {"base_model": _resolve_model(base_model or (NO_MODEL if endpoint else "seedling"))},
        "serving": {"questions": ["What do you write about?"]},
    }
    if endpoint:
        recipe["serving"] = {
            "endpoint": endpoint,
            "endpoint_model": endpoint_model,
            "questions": ["What do you write about?"],
        }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sources_path.write_text(
            SOURCES_HEAD.format(name=name) + _dump({"authors": [{**author, "sources": locations}]}), encoding="utf-8"
        )
        recipe_path.write_text(RECIPE_HEAD.format(name=name, path=recipe_path) + _dump(recipe), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}", "name another folder with --folder") from error
    load_sources(sources_path)
    load_recipe(recipe_path)
    return recipe_path, sources_path


def _resolve_model(base_model: str) -> str:
    path = Path(base_model).expanduser()
    return str(path.absolute()) if path.is_dir() else base_model


def _dump(content: dict[str, object]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
