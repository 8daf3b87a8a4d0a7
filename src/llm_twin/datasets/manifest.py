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
    model: str,
    leaks: dict[str, Any],
) -> dict[str, Any]:
    """The part of a manifest that does not come from the files. No times in it: the same inputs give the same bytes.

    `model` is the language model that was asked, if one was.
    """
    return {
        "format": FORMAT,
        "authors": authors,
        "seed": recipe["seed"],
        "recipe": recipe,
        "sources": sources,
        "counts": counts,
        "leaks": leaks,
        "model": model,
        "prompts": {name: prompt_version(name) for name in _used_prompts(recipe)},
    }


def _used_prompts(recipe: dict[str, Any]) -> list[str]:
    """The prompts that a recipe's samples are made with: the rules' always, since they stand in for a model."""
    asked = {
        "llm_instruction": recipe["instructions_from"] == "llm",
        "llm_questions": recipe["questions_from_llm"],
        "llm_response": recipe["rejected_from"] == "llm",
        "llm_judge": recipe["judge_with_llm"],
    }
    used = [name for name, wanted in asked.items() if wanted]
    rules = [name for name in list_prompts() if name.startswith("instruction_")]
    return sorted([*rules, *used, *(["repair_reply"] if used else [])])


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
