"""Nothing of what is held out may be trained on: take out what does (decontamination), then measure what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from llm_twin.datasets.filters import Dropped
from llm_twin.documents import CleanDocument, InstructionSample, Split
from llm_twin.errors import QualityError
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.overlap import RunIndex

HELD_OUT_OVER: dict[Split, tuple[Split, ...]] = {"train": ("validation", "test"), "validation": ("test",), "test": ()}


def decontaminate(
    samples: Sequence[InstructionSample],
    documents: Iterable[CleanDocument],
    splits: dict[str, Split],
    recipe: DatasetsRecipe,
    vectors: dict[str, np.ndarray],
    dropped: Dropped,
) -> list[InstructionSample]:
    """Drop training samples that share text with held-out documents, and validation samples that do with test ones.

    Shared: a run of more than `max_shared_words` words in instruction or output, an evaluation prompt in it, or a
    vector nearer than `max_cosine` to a held-out sample's. `vectors` is sample id → unit vector; it may be empty.
    """
    size = recipe.max_shared_words + 1
    dropped.samples.setdefault("held-out text", [])
    dropped.samples.setdefault("evaluation prompt", [])
    dropped.samples.setdefault("held-out meaning", [])
    by_split: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        by_split[splits[document.document_id]].append(f"{document.title}\n{document.text}")
    indexes = {name: RunIndex([t for other in over for t in by_split[other]]) for name, over in HELD_OUT_OVER.items()}
    prompts = RunIndex(recipe.evaluation_prompts)
    kept: list[InstructionSample] = []
    for sample in samples:
        text = f"{sample.instruction}\n{sample.output}"
        run = indexes[sample.split].first_shared_run(text, size) if HELD_OUT_OVER[sample.split] else ""
        prompt = _holds_prompt(text, recipe.evaluation_prompts, prompts)
        if run:
            dropped.add("held-out text", sample, f"shares “{run}”")
        elif prompt and sample.split != "test":
            dropped.add("evaluation prompt", sample, f"holds “{prompt}”")
        else:
            kept.append(sample)
    return _drop_near(kept, vectors, recipe.max_cosine, dropped)


def _holds_prompt(text: str, prompts: Sequence[str], index: RunIndex) -> str:
    if not prompts or not index.shared_runs(text, 4).any():
        return ""
    own = RunIndex([text])
    return next((prompt for prompt in prompts if own.share(prompt, 4) >= 0.8), "")


def _drop_near(
    samples: list[InstructionSample], vectors: dict[str, np.ndarray], max_cosine: float, dropped: Dropped
) -> list[InstructionSample]:
    if not vectors:
        return samples
    gone: set[str] = set()
    for lower, over in HELD_OUT_OVER.items():
        ours = [s for s in samples if s.split == lower]
        theirs = [s for s in samples if s.split in over]
        for sample, cosine, other in _nearest(ours, theirs, vectors):
            if cosine > max_cosine:
                gone.add(sample.sample_id)
                dropped.add("held-out meaning", sample, f"cosine {cosine:.3f} to “{other.output[:80]}”")
    return [sample for sample in samples if sample.sample_id not in gone]


def _nearest(
    ours: list[InstructionSample], theirs: list[InstructionSample], vectors: dict[str, np.ndarray]
) -> Iterable[tuple[InstructionSample, float, InstructionSample]]:
    """For each of ours the cosine and the one of theirs that is nearest; in blocks, so memory stays small."""
    if not ours or not theirs:
        return
    right = np.stack([vectors[sample.sample_id] for sample in theirs])
    for start in range(0, len(ours), 1024):
        block = ours[start : start + 1024]
        cosines = np.stack([vectors[sample.sample_id] for sample in block]) @ right.T
        best = cosines.argmax(axis=1)
        for row, sample in enumerate(block):
            yield sample, float(cosines[row, best[row]]), theirs[int(best[row])]


def measure_leaks(
    samples: Sequence[InstructionSample], recipe: DatasetsRecipe, vectors: dict[str, np.ndarray]
) -> dict[str, Any]:
    """What the finished splits share, for each two of them: documents, runs of words, near meaning; with examples.

    Returns {"pairs": {"train/test": {...}}, "leaked": int, "held_out": int, "share": float}. A held-out sample leaks
    when its document is in both splits, when an earlier split has a run of more than `max_shared_words` of its
    output's words, or when one of an earlier split's samples is nearer than `max_cosine`.
    """
    size = recipe.max_shared_words + 1
    groups: dict[str, list[InstructionSample]] = {"train": [], "validation": [], "test": []}
    for sample in samples:
        groups[sample.split].append(sample)
    leaked: set[str] = set()
    pairs: dict[str, dict[str, Any]] = {}
    for earlier, later in combinations(groups, 2):
        index = RunIndex(f"{sample.instruction}\n{sample.output}" for sample in groups[earlier])
        known = {sample.document_id for sample in groups[earlier]}
        same_document = [s for s in groups[later] if s.document_id in known]
        shared = [(s, run) for s in groups[later] if (run := index.first_shared_run(s.output, size))]
        shares = [index.share(s.output, 5) for s in groups[later]]
        nearest = list(_nearest(groups[later], groups[earlier], vectors)) if vectors else []
        near = [(s, cosine, other) for s, cosine, other in nearest if cosine > recipe.max_cosine]
        leaked.update(s.sample_id for s in (*same_document, *(s for s, _ in shared), *(s for s, _, _ in near)))
        pairs[f"{earlier}/{later}"] = {
            "samples": len(groups[later]),
            "same_document": len(same_document),
            "shared_text": len(shared),
            "near_meaning": len(near) if vectors else None,
            "mean_shared_5_word_runs": round(float(np.mean(shares)), 4) if shares else 0.0,
            "greatest_cosine": round(max((c for _, c, _ in nearest), default=0.0), 4) if vectors else None,
            "examples": [
                *({"output": s.output[:200], "shared": run} for s, run in shared[:3]),
                *(
                    {"output": s.output[:200], "near": other.output[:200], "cosine": round(c, 4)}
                    for s, c, other in near[:3]
                ),
            ],
        }
    held_out = len(groups["validation"]) + len(groups["test"])
    return {
        "pairs": pairs,
        "leaked": len(leaked),
        "held_out": held_out,
        "share": round(len(leaked) / held_out, 6) if held_out else 0.0,
    }


def require_no_leaks(leaks: dict[str, Any], recipe: DatasetsRecipe) -> None:
    """Raise QualityError when more than `max_leaked_share` of the held-out samples leak."""
    if leaks["share"] > recipe.max_leaked_share:
        raise QualityError(
            f"{leaks['leaked']} of {leaks['held_out']} held-out samples ({leaks['share']:.1%}) are also trained on; "
            f"the recipe allows {recipe.max_leaked_share:.1%}",
            "lower datasets.max_shared_words or datasets.max_cosine, or raise datasets.max_leaked_share",
        )
