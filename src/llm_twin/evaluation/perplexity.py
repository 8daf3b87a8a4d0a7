"""How well each candidate predicts the author's held-out writing, paired by document.

Perplexity is exp of the mean negative log-likelihood of a token (Jelinek et al. 1977). The same tokens are scored
for every candidate, so differences are fair; between base models with other tokenizers only bits per character
compare.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from llm_twin.documents import InstructionSample
from llm_twin.evaluation.statistics import Interval, mean_interval


class Perplexity(BaseModel):
    """One candidate on held-out samples. Document means are in nats a token."""

    perplexity: float  # over all tokens
    bits_per_character: float
    tokens: int
    documents: dict[str, float]  # document id → nats a token
    difference: Interval | None = None  # nats a token, minus the first candidate's, paired by document


def sample_messages(sample: InstructionSample) -> list[dict[str, str]]:
    """The conversation that asks for a sample's output."""
    return [{"role": "user", "content": sample.instruction}]


def summarise_losses(
    samples: Sequence[InstructionSample], losses: Mapping[str, Sequence[tuple[float, int]]]
) -> dict[str, Perplexity]:
    """Perplexities by candidate, from each candidate's (sum of nats, tokens) for each sample, in sample order."""
    characters = sum(len(sample.output) for sample in samples)
    results: dict[str, Perplexity] = {}
    first: dict[str, float] | None = None
    for name, values in losses.items():
        nats: dict[str, list[float]] = defaultdict(list)
        tokens: dict[str, int] = defaultdict(int)
        for sample, (loss, count) in zip(samples, values, strict=True):
            nats[sample.document_id].append(loss)
            tokens[sample.document_id] += count
        means = {d: math.fsum(nats[d]) / tokens[d] for d in sorted(nats) if tokens[d]}
        whole, count = math.fsum(loss for loss, _ in values), sum(tokens.values())
        difference = None
        if first is None:
            first = means
        elif means:
            difference = mean_interval([means[d] - first[d] for d in means])
        results[name] = Perplexity(
            perplexity=math.exp(min(whole / count, 700)) if count else math.inf,
            bits_per_character=whole / math.log(2) / max(characters, 1),
            tokens=count,
            documents=means,
            difference=difference,
        )
    return results
