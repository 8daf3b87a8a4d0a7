"""Label sets: pairs that people or models judged, kept under a name made of their content, for recipes to ask for."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from llm_twin.digests import digest_json
from llm_twin.documents import InstructionSample, PreferenceSample, read_jsonl, write_jsonl
from llm_twin.errors import InputError
from llm_twin.privacy import find_pii
from llm_twin.similarity.overlap import RunIndex

FOLDER = "_labels"  # no author's id begins so
OWN = ("author", "person")  # whose text may be the chosen side


def keep_labels(store: Path, pairs: Sequence[PreferenceSample]) -> str:
    """Keep a label set in the store; returns its name, which is the same for the same pairs."""
    name = digest_json([pair.model_dump(mode="json") for pair in pairs])[:16]
    write_jsonl(store / FOLDER / f"{name}.jsonl", pairs)
    return name


def read_labels(store: Path, names: Iterable[str]) -> list[PreferenceSample]:
    """The pairs of the label sets `names`, each once. Raises InputError for one that is not there."""
    pairs: dict[str, PreferenceSample] = {}
    for name in names:
        path = store / FOLDER / f"{name}.jsonl"
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in path.parent.glob("*.jsonl"))) or "none"
            raise InputError(f"no label set {name!r}", f"`twin datasets import-sheet` makes one; known: {known}")
        pairs.update((pair.sample_id, pair) for pair in read_jsonl(path, PreferenceSample))
    return list(pairs.values())


def forget_labels(store: Path, document_ids: Collection[str]) -> int:
    """Take the pairs of these documents out of all label sets; returns how many went. The sets keep their names."""
    gone = 0
    for path in sorted((store / FOLDER).glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["document_id"] not in document_ids]
        if len(kept) < len(lines):
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text("".join(kept), encoding="utf-8")
            beside.replace(path)
            gone += len(lines) - len(kept)
    return gone


def use_labels(
    labels: Sequence[PreferenceSample],
    samples: Sequence[InstructionSample],
    made: Sequence[PreferenceSample],
    held_out: Iterable[str],
    max_shared_words: int,
    counts: Counter[str],
) -> list[PreferenceSample]:
    """Put what was judged in the place of the pairs that were made of the same passages.

    `held_out` are the texts that nothing trained on may share a run of more than `max_shared_words` words with. A
    label is left out, and counted, when its passage is not trained on any more or was written anew since, when it
    prefers what neither the author nor a person wrote (the pair made of that passage goes with it: the two
    contradict each other), or when a person's text holds personal data or held-out text.
    """
    if not labels:
        return list(made)
    trained = {(s.document_id, s.revision_id, s.instruction): s.output for s in samples if s.split == "train"}
    index = RunIndex(held_out)
    used: list[PreferenceSample] = []
    judged: set[tuple[str, str]] = set()
    for label in labels:
        passage = trained.get((label.document_id, label.revision_id, label.instruction))
        if passage is None:
            counts["labels: of a passage that is not trained on"] += 1
            continue
        judged.add((label.document_id, passage))
        if label.chosen_source not in OWN:
            counts["labels: prefer what is not the author's"] += 1
        elif label.chosen_source != "author" and find_pii(label.chosen):
            counts["labels: personal data"] += 1
        elif label.chosen_source != "author" and index.first_shared_run(label.chosen, max_shared_words + 1):
            counts["labels: held-out text"] += 1
        else:
            counts["labels: used"] += 1
            used.append(label)
    return [*used, *(pair for pair in made if (pair.document_id, pair.chosen) not in judged)]
