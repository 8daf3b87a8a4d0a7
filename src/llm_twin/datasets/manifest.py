"""The manifest: what a data set's folder holds, what it was made from and how, and the digest of its content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_bytes, digest_json
from llm_twin.errors import InputError
from llm_twin.prompts import list_prompts, prompt_version

FORMAT = 1
MANIFEST = "manifest.json"


def describe_content(
    authors: list[str],
    recipe: dict[str, Any],
    sources: list[dict[str, Any]],
    counts: dict[str, Any],
    leaks: dict[str, Any],
) -> dict[str, Any]:
    """The part of a manifest that does not come from the files. No times in it: the same inputs give the same bytes."""
    return {
        "format": FORMAT,
        "authors": authors,
        "seed": recipe["seed"],
        "recipe": recipe,
        "sources": sources,
        "counts": counts,
        "leaks": leaks,
        "prompts": {name: prompt_version(name) for name in list_prompts() if name.startswith("instruction_")},
    }


def write_manifest(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write manifest.json over the folder's .jsonl files; `content` is the digest of them alone."""
    files = {
        path.name: {"digest": digest_bytes(content := path.read_bytes()), "lines": content.count(b"\n")}
        for path in sorted(folder.glob("*.jsonl"))
    }
    manifest = {**facts, "files": files, "content": digest_json({k: v["digest"] for k, v in files.items()})}
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest. Raises InputError when there is none, or when a file is not what it says."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{folder} is not a data set: {error}", "give the folder that holds manifest.json") from error
    for name, entry in manifest["files"].items():
        file = folder / name
        if not file.is_file() or digest_bytes(file.read_bytes()) != entry["digest"]:
            raise InputError(f"{file} is missing or was changed", "build the data set again")
    return manifest
