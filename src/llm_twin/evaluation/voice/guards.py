"""The guards beside the score: copies, Markov text and shuffled words score as the author and must not pass.

Each limit comes from the author's own held-out documents, so that honest text is flagged about once in a hundred; a
set of texts is unclean when more of it is flagged than that can explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from llm_twin.evaluation.memorisation import copied_share, copy_limit
from llm_twin.evaluation.voice.order import Trigrams, masked_order_tokens, word_tokens
from llm_twin.evaluation.voice.prose import cut_pieces
from llm_twin.similarity.overlap import RunIndex

FOLDS = 5
EXPECTED = 0.02  # of honest texts, each guard flags at most about this share
SURE = 0.01  # chance of as many flags among honest texts, below which a set is unclean
SPREAD = 3.0  # standard deviations: percentiles of few pieces are too near


class GuardFinding(BaseModel):
    """One guard on a set of texts."""

    guard: str  # copy, order or babble
    flagged: int
    texts: int
    limit: float
    mean: float
    clean: bool


@dataclass(frozen=True)
class Guards:
    """Frozen models and limits."""

    training: RunIndex
    own_trigrams: Trigrams
    any_trigrams: Trigrams
    copied_above: float
    own_gain_above: float
    any_gain_below: float

    def inspect(self, texts: Sequence[str]) -> list[GuardFinding]:
        """Copy, order and babble over a set of texts (one for each prompt)."""
        copied = [copied_share(text, self.training) for text in texts]
        own = [self.own_trigrams.gain(word_tokens(text)) for text in texts]
        anyone = [self.any_trigrams.gain(masked_order_tokens(text)) for text in texts]
        return [
            _find("copy", copied, [value > self.copied_above for value in copied], self.copied_above),
            _find("order", own, [value > self.own_gain_above for value in own], self.own_gain_above),
            _find("babble", anyone, [value < self.any_gain_below for value in anyone], self.any_gain_below),
        ]


def fit_guards(documents: Mapping[str, Sequence[str]], words: int) -> Guards:
    """Models from all the author's documents (id → prose paragraphs); limits from each fifth held out in turn.

    The masked trigrams are the author's own too: what separates prose from shuffled words is common to all authors.
    """
    names = sorted(documents)
    folds = {name: number % min(FOLDS, len(names)) for number, name in enumerate(names)}
    copied, own, anyone = [], [], []
    for fold in sorted(set(folds.values())):
        rest = ["\n".join(documents[name]) for name in names if folds[name] != fold]
        held = [piece for name in names if folds[name] == fold for piece in cut_pieces(documents[name], words)]
        index, own_model, any_model = _models(rest)
        copied += [copied_share(piece, index) for piece in held]
        own += [own_model.gain(word_tokens(piece)) for piece in held]
        anyone += [any_model.gain(masked_order_tokens(piece)) for piece in held]
    index, own_model, any_model = _models(["\n".join(documents[name]) for name in names])
    return Guards(
        training=index,
        own_trigrams=own_model,
        any_trigrams=any_model,
        copied_above=copy_limit(copied),
        own_gain_above=max(float(np.percentile(own, 99)), float(np.mean(own) + SPREAD * np.std(own))),
        any_gain_below=min(float(np.percentile(anyone, 1)), float(np.mean(anyone) - SPREAD * np.std(anyone))),
    )


def _models(texts: Sequence[str]) -> tuple[RunIndex, Trigrams, Trigrams]:
    return (
        RunIndex(texts),
        Trigrams(word_tokens(text) for text in texts),
        Trigrams(masked_order_tokens(text) for text in texts),
    )


def _find(guard: str, values: Sequence[float], flags: Sequence[bool], limit: float) -> GuardFinding:
    from scipy.stats import binom

    flagged = sum(flags)
    chance = float(binom.sf(flagged - 1, len(flags), EXPECTED)) if flagged else 1.0
    return GuardFinding(
        guard=guard,
        flagged=flagged,
        texts=len(flags),
        limit=limit,
        mean=float(np.mean(values)) if len(values) else 0.0,
        clean=chance >= SURE,
    )
