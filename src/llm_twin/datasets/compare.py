"""What differs between two data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_twin.datasets.manifest import read_manifest
from llm_twin.documents import InstructionSample, PreferenceSample, read_jsonl

KINDS = (("instruction", InstructionSample), ("preference", PreferenceSample))


def compare_datasets(before: Path, after: Path) -> dict[str, Any]:
    """Documents that came, went, changed or moved to another split, by URL; samples by count; recipe and prompts."""
    old, new = read_manifest(before), read_manifest(after)
    was = {source["document_id"]: source for source in old["sources"]}
    now = {source["document_id"]: source for source in new["sources"]}
    both = [(was[name], now[name]) for name in sorted(was.keys() & now.keys())]
    return {
        "same": old["content"] == new["content"],
        "documents": {
            "added": sorted(now[name]["url"] for name in now.keys() - was.keys()),
            "removed": sorted(was[name]["url"] for name in was.keys() - now.keys()),
            "changed": sorted(b["url"] for a, b in both if a["revision_id"] != b["revision_id"]),
            "moved": sorted(f"{b['url']}: {a['split']} → {b['split']}" for a, b in both if a["split"] != b["split"]),
        },
        "samples": {what: _compare_samples(before, after, what, kind) for what, kind in KINDS},
        "recipe": _compare_values(old["recipe"], new["recipe"]),
        "prompts": _compare_values(old["prompts"], new["prompts"]),
    }


def _compare_samples(before: Path, after: Path, what: str, kind: type[Any]) -> dict[str, dict[str, int]]:
    """Added, removed and kept samples of each split."""
    found = {}
    for split in ("train", "validation", "test"):
        ids = [{s.sample_id for s in read_jsonl(f / f"{what}_{split}.jsonl", kind)} for f in (before, after)]
        found[split] = {
            "added": len(ids[1] - ids[0]), "removed": len(ids[0] - ids[1]), "kept": len(ids[0] & ids[1]),
        }  # fmt: skip
    return found


def _compare_values(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    return {
        key: f"{old.get(key)} → {new.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    }
