"""Check a finished data set against the revisions it was made from: what it promises, counted anew from its files."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_twin.datasets.build import SPLITS, embed_outputs
from llm_twin.datasets.leaks import measure_leaks
from llm_twin.datasets.manifest import read_manifest
from llm_twin.documents import InstructionSample, PreferenceSample, read_jsonl
from llm_twin.recipes import DatasetsRecipe
from llm_twin.support.check import Encodes

WORDED_BY_OTHERS = ("question",)  # kinds whose output is a model's wording, checked against the passage when made
MARKS = {
    "apostrophes": "'’",
    "dashes": "–—",
    "quotation marks": '“”„«»"',
    "line breaks": "\n",
}
EXAMPLES = 5


@dataclass
class Checked:
    """What was found: figures by name, and what is wrong as sentences (empty: all is as promised)."""

    figures: dict[str, int | float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_dataset(folder: Path, revisions: Mapping[str, Iterable[str]], encoder: Encodes | None = None) -> Checked:
    """Read the folder and hold it against `revisions`: revision id → the texts collected under it.

    Checked are: every file's digest; each target byte for byte in its revision; no document and, counted anew, no
    text in two splits; that passages, samples and what was dropped add up. Counted are the marks that a careless
    cleaner loses. Raises InputError when the folder is no data set or was changed.
    """
    manifest = read_manifest(folder)
    samples = [
        sample for split in SPLITS for sample in read_jsonl(folder / f"instruction_{split}.jsonl", InstructionSample)
    ]
    pairs = [pair for split in SPLITS for pair in read_jsonl(folder / f"preference_{split}.jsonl", PreferenceSample)]
    checked = Checked({"documents": len(manifest["sources"]), "samples": len(samples), "pairs": len(pairs)})
    _check_targets(checked, samples, pairs, {name: [t.encode() for t in texts] for name, texts in revisions.items()})
    _check_splits(checked, samples, manifest, encoder)
    _check_sums(checked, samples, pairs, manifest["counts"])
    _count_marks(checked, [sample.output for sample in samples])
    return checked


def _check_targets(
    checked: Checked,
    samples: list[InstructionSample],
    pairs: list[PreferenceSample],
    revisions: Mapping[str, list[bytes]],
) -> None:
    """Outputs and chosen sides against the bytes of the revision that they name."""
    targets = [(s.revision_id, s.output, s.url) for s in samples if s.kind not in WORDED_BY_OTHERS]
    targets += [(p.revision_id, p.chosen, p.url) for p in pairs if p.chosen_source == "author"]
    unknown = sorted({url for revision, _, url in targets if revision not in revisions})
    lost = [
        (url, text)
        for revision, text, url in targets
        if revision in revisions and not any(text.encode() in source for source in revisions[revision])
    ]
    checked.figures["targets"] = len(targets)
    checked.figures["targets_not_in_source"] = len(lost)
    checked.figures["worded_by_others"] = len(samples) + len(pairs) - len(targets)
    checked.figures["revisions_not_found"] = len(unknown)
    checked.problems += [f"not in its revision: {url}: “{text[:80]}”" for url, text in lost[:EXAMPLES]]
    checked.problems += [f"its revision is not in the warehouse: {url}" for url in unknown[:EXAMPLES]]


def _check_splits(
    checked: Checked, samples: list[InstructionSample], manifest: dict[str, Any], encoder: Encodes | None
) -> None:
    """Documents in two splits, and the leaks counted again from the files."""
    of_document = {source["document_id"]: source["split"] for source in manifest["sources"]}
    strays = [sample for sample in samples if of_document.get(sample.document_id) != sample.split]
    recipe = DatasetsRecipe.model_validate(manifest["recipe"])
    leaks = measure_leaks(samples, recipe, embed_outputs(samples, encoder))
    checked.figures["samples_outside_their_split"] = len(strays)
    checked.figures["held_out"] = leaks["held_out"]
    checked.figures["leaks"] = leaks["leaked"]
    if encoder is not None:
        checked.figures["greatest_cosine"] = max(pair["greatest_cosine"] for pair in leaks["pairs"].values())
    checked.problems += [f"{s.url} is in split {s.split}, not in its document's" for s in strays[:EXAMPLES]]
    if leaks["share"] > recipe.max_leaked_share:
        checked.problems.append(f"{leaks['leaked']} of {leaks['held_out']} held-out samples are also trained on")


def _check_sums(
    checked: Checked, samples: list[InstructionSample], pairs: list[PreferenceSample], counts: dict[str, Any]
) -> None:
    """Every passage is a sample or counted under the filter that took it; and files hold what the manifest says."""
    made = counts["passages"] + sum(counts["made"].values())
    ended = len(samples) + sum(counts["dropped"].values())
    checked.figures["passages"] = counts["passages"]
    checked.figures["unaccounted_passages"] = made - ended
    if made != ended:
        checked.problems.append(f"{made} passages and further samples went in, {ended} are accounted for")
    for what, records in (("instructions", samples), ("preferences", pairs)):
        found = Counter(record.split for record in records)
        if {split: found[split] for split in SPLITS} != counts[what]:
            checked.problems.append(f"the files hold {dict(found)} {what}, the manifest says {counts[what]}")


def _count_marks(checked: Checked, outputs: list[str]) -> None:
    """How many of the marks that cleaning tends to lose stand in the targets."""
    text = "\n".join(outputs)
    for name, marks in MARKS.items():
        checked.figures[f"{name.replace(' ', '_')}"] = sum(text.count(mark) for mark in marks)
    checked.figures["line_breaks"] -= max(len(outputs) - 1, 0)  # those that joined the outputs here
    checked.figures["emoji_and_symbols"] = sum(unicodedata.category(char) == "So" for char in text)
