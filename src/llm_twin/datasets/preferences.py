"""Preference pairs: chosen is the author's passage, rejected is what is not his; each says why, and how sure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from llm_twin.datasets.degrade import degrade_text
from llm_twin.documents import InstructionSample, PreferenceSample, stable_id
from llm_twin.similarity.overlap import word_distance

MIN_DISTANCE = 0.12  # below it the two sides are too alike for a preference to mean anything


def pair_degraded(samples: Iterable[InstructionSample], seed: int) -> Iterator[PreferenceSample]:
    """For each sample the author's text against its flattened rewrite; pairs that are too alike are left out.

    The rewrite uses some of the tricks, and all of them where that leaves the two too alike.
    """
    for sample in samples:
        for whole in (False, True):
            rejected, changes = degrade_text(sample.output, f"{seed}/{sample.sample_id}", whole)
            distance = word_distance(sample.output, rejected)
            if distance >= MIN_DISTANCE:
                break
        if distance >= MIN_DISTANCE:
            reason = f"the same content in a flattened voice: {', '.join(changes)}"
            yield make_pair(sample, rejected, "degraded", reason, round(min(1.0, 0.5 + distance), 3))


def make_pair(
    sample: InstructionSample, rejected: str, source: str, reason: str, confidence: float
) -> PreferenceSample:
    """The pair of an instruction sample's output and a rejected text."""
    return PreferenceSample(
        sample_id=stable_id(sample.sample_id, rejected),
        document_id=sample.document_id,
        revision_id=sample.revision_id,
        author=sample.author,
        url=sample.url,
        split=sample.split,
        instruction=sample.instruction,
        chosen=sample.output,
        rejected=rejected,
        rejected_source=source,
        reason=reason,
        confidence=confidence,
    )


def limit_pairs(pairs: list[PreferenceSample], count: int, seed: int) -> list[PreferenceSample]:
    """At most `count` pairs, drawn by seed, in their old order."""
    if len(pairs) <= count:
        return pairs
    drawn = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed}\0{pair.sample_id}".encode()).digest())
    kept = {pair.sample_id for pair in drawn[:count]}
    return [pair for pair in pairs if pair.sample_id in kept]
