"""From clean documents to a data set: split, cut, instruct, filter, deduplicate, decontaminate, pair, write, prove."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from llm_twin.datasets import leaks
from llm_twin.datasets.filters import Dropped, apply_filters, list_filters
from llm_twin.datasets.instructions import write_instructions
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.manifest import describe_content, write_manifest
from llm_twin.datasets.passages import Passage, count_words, cut_passages
from llm_twin.datasets.preferences import limit_pairs, pair_degraded
from llm_twin.datasets.splits import split_documents
from llm_twin.documents import CleanDocument, InstructionSample, PreferenceSample, Split, write_jsonl
from llm_twin.errors import QualityError
from llm_twin.progress import report, track
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.duplicates import find_duplicates, keep_best

Encode = Callable[[list[str]], np.ndarray]  # texts → n×d unit vectors
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
HELD_OUT_FIRST: dict[Split, int] = {"test": 2, "validation": 1, "train": 0}


@dataclass
class BuiltDataset:
    """Everything that a data set's folder and report are written from."""

    documents: list[CleanDocument]
    splits: dict[str, Split]
    recipe: DatasetsRecipe
    passages: int
    instructions: list[InstructionSample]
    preferences: list[PreferenceSample]
    dropped: Dropped
    unpaired: dict[str, int]
    leaks: dict[str, Any]
    vectors: dict[str, np.ndarray] = field(default_factory=dict)


def build_dataset(
    documents: Iterable[CleanDocument], recipe: DatasetsRecipe, encode: Encode | None = None
) -> BuiltDataset:
    """Make a data set of `documents`. `encode` adds meaning to the overlap checks; without it only words count.

    Raises QualityError when nothing is left to train on.
    """
    ordered = sorted(documents, key=lambda document: document.document_id)
    splits = split_documents(ordered, recipe)
    passages = cut_all(ordered, recipe)
    weights = PhraseWeights(document.text for document in ordered)
    dropped = Dropped()
    samples = apply_filters(write_instructions(passages, splits, weights, recipe), list_filters(recipe), dropped)
    samples = drop_duplicates(samples, recipe, dropped)
    vectors = embed_outputs(samples, encode)
    samples = leaks.decontaminate(samples, ordered, splits, recipe, vectors, dropped)
    if not any(sample.split == "train" for sample in samples):
        raise QualityError(
            f"of {len(ordered)} documents and {len(passages)} passages no training sample is left",
            "collect more writing, or loosen datasets.min_output_words and the filters; see the report",
        )
    found = leaks.measure_leaks(samples, recipe, vectors)
    pairs, unpaired = pair_samples(samples, recipe)
    report(f"datasets: {len(samples):,} instruction samples, {len(pairs):,} preference pairs")
    return BuiltDataset(ordered, splits, recipe, len(passages), samples, pairs, dropped, unpaired, found, vectors)


def cut_all(documents: Sequence[CleanDocument], recipe: DatasetsRecipe) -> list[Passage]:
    """The passages of all documents, in order."""
    return [
        passage
        for document in track(documents, "cutting passages")
        for passage in cut_passages(document, recipe.min_output_words, recipe.max_output_words)
    ]


def drop_duplicates(
    samples: Sequence[InstructionSample], recipe: DatasetsRecipe, dropped: Dropped
) -> list[InstructionSample]:
    """Of samples with the same or nearly the same output keep one: held-out before trained, then the longest, then
    the one that comes first."""
    found = find_duplicates([sample.output for sample in samples], recipe.min_duplicate_jaccard, recipe.seed)
    gone = keep_best(found.clusters, lambda p: (HELD_OUT_FIRST[samples[p].split], count_words(samples[p].output)))
    dropped.samples.setdefault("duplicate", [])
    for position, kept in sorted(gone.items()):
        dropped.add("duplicate", samples[position], f"of {samples[kept].url}: “{samples[kept].output[:80]}”")
    return [sample for position, sample in enumerate(samples) if position not in gone]


def embed_outputs(samples: Sequence[InstructionSample], encode: Encode | None) -> dict[str, np.ndarray]:
    """Sample id → unit vector of its output; empty without an encoder."""
    if encode is None or not samples:
        return {}
    report(f"embedding {len(samples):,} samples")
    vectors = encode([sample.output for sample in samples])
    return {sample.sample_id: vector for sample, vector in zip(samples, vectors, strict=True)}


def pair_samples(
    samples: Sequence[InstructionSample], recipe: DatasetsRecipe
) -> tuple[list[PreferenceSample], dict[str, int]]:
    """Preference pairs, and how many samples have none, by reason."""
    pairs = list(pair_degraded(samples, recipe.seed))
    train = [pair for pair in pairs if pair.split == "train"]
    kept = limit_pairs(train, recipe.max_preference_pairs, recipe.seed)
    rest = [pair for pair in pairs if pair.split != "train"]
    unpaired = {"too alike": len(samples) - len(pairs), "over the limit": len(train) - len(kept)}
    return kept + rest, unpaired


def write_dataset(built: BuiltDataset, folder: Path) -> dict[str, Any]:
    """Write the data set's folder beside, then swap it in; returns the manifest.

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
            "dropped": built.dropped.counts,
            "instructions": {name: sum(s.split == name for s in built.instructions) for name in SPLITS},
            "preferences": {name: sum(p.split == name for p in built.preferences) for name in SPLITS},
            "unpaired": built.unpaired,
        },
        "leaks": {key: value for key, value in built.leaks.items() if key != "pairs"},
    }
