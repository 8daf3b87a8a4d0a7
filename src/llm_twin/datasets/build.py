"""From clean documents to samples: split, cut, instruct, filter, deduplicate, decontaminate, augment, pair, prove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llm_twin.datasets import leaks, llm_samples
from llm_twin.datasets.augment import augment_thin
from llm_twin.datasets.filters import Dropped, apply_filters, list_filters
from llm_twin.datasets.instructions import write_instructions
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.labels import use_labels
from llm_twin.datasets.passages import Passage, count_words, cut_passages
from llm_twin.datasets.preferences import limit_pairs, pair_degraded
from llm_twin.datasets.quality import measure_quality
from llm_twin.datasets.splits import split_documents
from llm_twin.documents import CleanDocument, InstructionSample, PreferenceSample, Split
from llm_twin.errors import InputError, QualityError
from llm_twin.llm import LlmClient
from llm_twin.progress import report, track
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.duplicates import find_duplicates, keep_best
from llm_twin.support.check import Encodes

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
    made: dict[str, int]  # proposed beside one sample for each passage: questions, augmented
    unpaired: dict[str, int]
    labels: dict[str, int]  # what became of labelled pairs
    leaks: dict[str, Any]
    quality: dict[str, Any]
    llm: dict[str, Any] = field(default_factory=dict)  # the ledger, and what became of each question


def build_dataset(
    documents: Iterable[CleanDocument],
    recipe: DatasetsRecipe,
    encoder: Encodes | None = None,
    client: LlmClient | None = None,
    labels: Sequence[PreferenceSample] = (),
) -> BuiltDataset:
    """Make a data set of `documents`.

    `encoder` adds meaning to the overlap checks and topics to the quality report; without it only words count.
    `client` is asked for what the recipe wants of an LLM. `labels` are judged pairs that take the place of those
    made of the same passages. Raises InputError when the recipe wants an LLM and there is none, BudgetError from
    asking, QualityError when nothing is left to train on.
    """
    require_client(recipe, client)
    ordered = sorted(documents, key=lambda document: document.document_id)
    splits = split_documents(ordered, recipe)
    passages = cut_all(ordered, recipe)
    weights = PhraseWeights(document.text for document in ordered)
    asked: Counter[str] = Counter()
    dropped = Dropped()
    samples, questions = _write(passages, splits, weights, recipe, encoder, client, asked, dropped)
    proposed = len(questions) + dropped.counts.get(llm_samples.UNSUPPORTED, 0)
    languages = {document.document_id: document.language for document in ordered}
    samples = apply_filters([*samples, *questions], list_filters(recipe, languages), dropped)
    samples = drop_duplicates(samples, recipe, dropped)
    vectors = embed_outputs(samples, encoder)
    samples = leaks.decontaminate(samples, ordered, splits, recipe, vectors, dropped)
    if not any(sample.split == "train" for sample in samples):
        raise QualityError(
            f"of {len(ordered)} documents and {len(passages)} passages no training sample is left",
            "collect more writing, or loosen datasets.min_output_words and the filters; see the report",
        )
    quality = measure_quality(samples, vectors, weights, recipe)
    more = augment_thin(samples, passages, quality["topics"], weights, recipe)
    samples = [*samples, *more]
    found = leaks.measure_leaks(samples, recipe, {**vectors, **embed_outputs(more, encoder)})
    labelled: Counter[str] = Counter()
    held_out = [document.text for document in ordered if splits[document.document_id] != "train"]
    pairs, unpaired = pair_samples(samples, recipe, client, asked, labels, held_out, labelled)
    report(f"datasets: {len(samples):,} instruction samples, {len(pairs):,} preference pairs")
    made = {"questions": proposed, "augmented": len(more)}
    ledger: dict[str, Any] = {}
    if client and asked:
        ledger = {"model": client.model, **client.ledger.summarise(), "results": dict(sorted(asked.items()))}
    return BuiltDataset(
        ordered, splits, recipe, len(passages), samples, pairs, dropped, made, unpaired, dict(labelled), found, quality,
        ledger,
    )  # fmt: skip


def require_client(recipe: DatasetsRecipe, client: LlmClient | None) -> None:
    """Raise InputError when the recipe asks for an LLM and none is configured."""
    wants = {
        "datasets.instructions_from: llm": recipe.instructions_from == "llm",
        "datasets.questions_from_llm": recipe.questions_from_llm,
        "datasets.rejected_from: llm": recipe.rejected_from == "llm",
        "datasets.judge_with_llm": recipe.judge_with_llm,
    }
    asking = [name for name, wanted in wants.items() if wanted]
    if asking and client is None:
        raise InputError(
            f"the recipe asks for a language model ({', '.join(asking)}), and none is configured",
            "set LLM_TWIN_LLM_BASE_URL and LLM_TWIN_LLM_MODEL, or take the keys out of the recipe",
        )


def _write(
    passages: list[Passage],
    splits: dict[str, Split],
    weights: PhraseWeights,
    recipe: DatasetsRecipe,
    encoder: Encodes | None,
    client: LlmClient | None,
    asked: Counter[str],
    dropped: Dropped,
) -> tuple[list[InstructionSample], list[InstructionSample]]:
    """One sample for each passage, and the question-and-answer samples."""
    if client and recipe.instructions_from == "llm":
        samples = llm_samples.write_llm_instructions(passages, splits, weights, recipe, client, asked)
    else:
        samples = list(write_instructions(passages, splits, weights, recipe))
    if not (client and recipe.questions_from_llm):
        return samples, []
    if encoder is None:
        raise InputError("datasets.questions_from_llm needs an encoder to check answers", "set datasets.embedder")
    return samples, llm_samples.write_llm_questions(passages, splits, client, encoder, asked, dropped)


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


def embed_outputs(samples: Sequence[InstructionSample], encoder: Encodes | None) -> dict[str, np.ndarray]:
    """Sample id → unit vector of its output; empty without an encoder."""
    if encoder is None or not samples:
        return {}
    report(f"embedding {len(samples):,} samples")
    vectors = encoder.encode([sample.output for sample in samples])
    return {sample.sample_id: vector for sample, vector in zip(samples, vectors, strict=True)}


def pair_samples(
    samples: Sequence[InstructionSample],
    recipe: DatasetsRecipe,
    client: LlmClient | None = None,
    asked: Counter[str] | None = None,
    labels: Sequence[PreferenceSample] = (),
    held_out: Sequence[str] = (),
    labelled: Counter[str] | None = None,
) -> tuple[list[PreferenceSample], dict[str, int]]:
    """Preference pairs, and how many samples have none, by reason. Without labels a passage has one pair at most."""
    once = list({(s.document_id, s.output): s for s in samples if s.kind != "question"}.values())
    counts: Counter[str] = asked if asked is not None else Counter()
    if client and recipe.rejected_from == "llm":
        pairs = llm_samples.pair_with_llm(once, recipe, client, counts)
    else:
        pairs = list(pair_degraded(once, recipe.seed))
    alike = len(once) - len(pairs)
    judged = pairs
    if client and recipe.judge_with_llm:
        texts = [sample.output for sample in once if sample.split == "train"]
        judged = llm_samples.judge_pairs(pairs, texts, client, recipe.seed, counts)
    train = use_labels(
        labels,
        once,
        [pair for pair in judged if pair.split == "train"],
        held_out,
        recipe.max_shared_words,
        labelled if labelled is not None else Counter(),
    )
    kept = limit_pairs(train, recipe.max_preference_pairs, recipe.seed)
    unpaired = {
        "question, or a passage paired already": len(samples) - len(once),
        "too alike": alike,
        "judged the other way": len(pairs) - len(judged),
        "over the limit": len(train) - len(kept),
    }
    return kept + [pair for pair in judged if pair.split != "train"], unpaired
