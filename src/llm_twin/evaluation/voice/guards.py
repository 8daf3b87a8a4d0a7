"""The guards beside the score: copies, Markov text and shuffled words score as the author and must not pass.

Each limit comes from the bulk of the author's own held-out text, and so does the share of honest text beyond it. A set
of texts is unclean when more of it is flagged than that share can explain. The bulk and not the extremes: authors
repeat themselves, and one document that stands in another would lift a 99th percentile until copies pass below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel

from llm_twin.evaluation.memorisation import copied_share, copy_limit
from llm_twin.evaluation.voice.order import Trigrams, masked_order_tokens, word_tokens
from llm_twin.evaluation.voice.prose import cut_pieces
from llm_twin.similarity.overlap import RunIndex

FOLDS = 5
GUARDS = ("copy", "order", "babble")
EXPECTED = 0.02  # of honest texts, a guard may flag this share, or what it flags of the held-out ones if that is more
SURE = 0.01  # chance of as many flags among honest texts, below which a set is unclean
SPREAD = 3.0  # standard deviations from the median, as its absolute deviations have them
NORMAL = 1.4826  # standard deviations in a median absolute deviation (Rousseeuw and Croux 1993)


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
    honest_flags: tuple[float, float, float]  # share of held-out pieces beyond each limit

    def inspect(self, texts: Sequence[str]) -> list[GuardFinding]:
        """Copy, order and babble over a set of texts (one for each prompt)."""
        copied = [copied_share(text, self.training) for text in texts]
        own = [self.own_trigrams.gain(word_tokens(text)) for text in texts]
        anyone = [self.any_trigrams.gain(masked_order_tokens(text)) for text in texts]
        flags = self.flag(copied, own, anyone)
        limits = (self.copied_above, self.own_gain_above, self.any_gain_below)
        return [
            _find(guard, values, flagged, limit, honest)
            for guard, values, flagged, limit, honest in zip(
                GUARDS, (copied, own, anyone), flags, limits, self.honest_flags, strict=True
            )
        ]

    def flag(self, copied: Sequence[float], own: Sequence[float], anyone: Sequence[float]) -> list[np.ndarray]:
        """Which texts each guard flags, by their copied share and both gains."""
        return [
            np.asarray(copied) > self.copied_above,
            np.asarray(own) > self.own_gain_above,
            np.asarray(anyone) < self.any_gain_below,
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
    guards = Guards(
        training=index,
        own_trigrams=own_model,
        any_trigrams=any_model,
        copied_above=copy_limit(copied),
        own_gain_above=_beyond(own, SPREAD),
        any_gain_below=_beyond(anyone, -SPREAD),
        honest_flags=(0.0, 0.0, 0.0),
    )
    honest = guards.flag(copied, own, anyone)
    first, second, third = (float(flags.mean()) if len(flags) else 0.0 for flags in honest)
    return replace(guards, honest_flags=(first, second, third))


def _beyond(values: Sequence[float], spread: float) -> float:
    """So many robust standard deviations from the median; without values, beyond everything."""
    if not values:
        return float(np.copysign(np.inf, spread))
    middle = float(np.median(values))
    return middle + spread * NORMAL * float(np.median(np.abs(np.asarray(values) - middle)))


def _models(texts: Sequence[str]) -> tuple[RunIndex, Trigrams, Trigrams]:
    return (
        RunIndex(texts),
        Trigrams(word_tokens(text) for text in texts),
        Trigrams(masked_order_tokens(text) for text in texts),
    )


def _find(guard: str, values: Sequence[float], flags: np.ndarray, limit: float, honest: float) -> GuardFinding:
    from scipy.stats import binom

    flagged = int(flags.sum())
    chance = float(binom.sf(flagged - 1, len(flags), max(EXPECTED, honest))) if flagged else 1.0
    return GuardFinding(
        guard=guard,
        flagged=flagged,
        texts=len(flags),
        limit=limit,
        mean=float(np.mean(values)) if len(values) else 0.0,
        clean=chance >= SURE,
    )
