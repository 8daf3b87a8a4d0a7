"""A data set's folder: samples, held-out documents, manifest and card, written beside and swapped in."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from llm_twin.datasets.build import SPLITS, BuiltDataset
from llm_twin.datasets.card import render_card
from llm_twin.datasets.manifest import describe_content, write_manifest
from llm_twin.documents import write_jsonl

CARD = "README.md"


def write_dataset(built: BuiltDataset, folder: Path) -> dict[str, Any]:
    """Write the folder; returns its manifest. The same inputs, recipe and seed give the same bytes.

    Files: instruction_{train,validation,test}.jsonl, preference_{…}.jsonl, heldout_documents.jsonl (the CleanDocuments
    of validation and test, with metadata["split"]), manifest.json, README.md (the card).
    """
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for split in SPLITS:
        write_jsonl(beside / f"instruction_{split}.jsonl", (s for s in built.instructions if s.split == split))
        write_jsonl(beside / f"preference_{split}.jsonl", (p for p in built.preferences if p.split == split))
    write_jsonl(
        beside / "heldout_documents.jsonl",
        (
            document.model_copy(update={"metadata": {**document.metadata, "split": built.splits[document.document_id]}})
            for document in built.documents
            if built.splits[document.document_id] != "train"
        ),
    )
    manifest = write_manifest(beside, describe_content(**_facts(built)))
    (beside / CARD).write_text(render_card(manifest), encoding="utf-8", newline="\n")
    if folder.exists():
        shutil.rmtree(folder)
    beside.replace(folder)
    return manifest


def _facts(built: BuiltDataset) -> dict[str, Any]:
    samples = Counter(sample.document_id for sample in built.instructions)
    return {
        "authors": sorted({document.author for document in built.documents}),
        "recipe": built.recipe.model_dump(mode="json"),
        "sources": [
            {
                "document_id": document.document_id,
                "revision_id": document.revision_id,
                "url": document.url,
                "platform": document.platform,
                "kind": document.kind,
                "split": built.splits[document.document_id],
                "samples": samples[document.document_id],
            }
            for document in built.documents
        ],
        "counts": {
            "documents": {name: sum(split == name for split in built.splits.values()) for name in SPLITS},
            "passages": built.passages,
            "made": built.made,
            "dropped": built.dropped.counts,
            "instructions": {name: sum(s.split == name for s in built.instructions) for name in SPLITS},
            "preferences": {name: sum(p.split == name for p in built.preferences) for name in SPLITS},
            "unpaired": built.unpaired,
            "labels": built.labels,
            "llm": built.llm.get("results", {}),
        },
        "model": built.llm.get("model", ""),
        "leaks": {key: value for key, value in built.leaks.items() if key != "pairs"},
    }
