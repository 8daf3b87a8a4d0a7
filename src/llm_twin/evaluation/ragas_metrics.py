"""ragas' metrics that need no language model: of texts against references, and of retrieved ids.

`RAGAS_DO_NOT_TRACK` is set before ragas is imported: nothing phones home.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence

from llm_twin.evaluation.statistics import Interval, mean_interval


def measure_texts(
    texts: Sequence[str], references: Sequence[str]
) -> tuple[dict[str, Interval], dict[str, list[float]]]:
    """ROUGE-L F1, BLEU, chrF and edit similarity of each text with its reference, 0 to 1.

    Returns intervals over prompts, and each metric's values in the order of the texts.
    """
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    from ragas import SingleTurnSample
    from ragas.metrics import BleuScore, ChrfScore, NonLLMStringSimilarity, RougeScore

    metrics = {
        "rouge_l": RougeScore(),
        "bleu": BleuScore(),
        "chrf": ChrfScore(),
        "string_similarity": NonLLMStringSimilarity(),
    }
    samples = [
        SingleTurnSample(response=text or " ", reference=reference)
        for text, reference in zip(texts, references, strict=True)
    ]
    values = _score_all(metrics, samples)
    return _over(values), values


def measure_contexts(found: Sequence[Sequence[str]], relevant: Sequence[Sequence[str]]) -> dict[str, Interval]:
    """Context precision and recall by chunk id, over queries."""
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    from ragas import SingleTurnSample
    from ragas.metrics import IDBasedContextPrecision, IDBasedContextRecall

    metrics = {"context_precision": IDBasedContextPrecision(), "context_recall": IDBasedContextRecall()}
    samples = [
        SingleTurnSample(retrieved_context_ids=list(got), reference_context_ids=list(wanted))
        for got, wanted in zip(found, relevant, strict=True)
        if got
    ]
    return _over(_score_all(metrics, samples))


def _score_all(metrics: dict[str, object], samples: Sequence[object]) -> dict[str, list[float]]:
    async def score() -> dict[str, list[float]]:
        return {
            name: [float(await metric.single_turn_ascore(sample)) for sample in samples]  # type: ignore[attr-defined]
            for name, metric in metrics.items()
        }

    return asyncio.run(score())


def _over(values: dict[str, list[float]]) -> dict[str, Interval]:
    finite = {name: [v for v in given if math.isfinite(v)] for name, given in values.items()}
    return {name: mean_interval(given) for name, given in finite.items() if given}
