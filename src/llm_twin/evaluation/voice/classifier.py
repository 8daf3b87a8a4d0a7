"""One author against the rest: two logistic regressions whose mean decides.

Masked n-grams (C = 10) decide; the style features (C = 0.01, standardised) explain, and count a little. Each author
of the rest weighs the same, and the rest together as much as the author.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from llm_twin.evaluation.voice.features import Features, join
from llm_twin.evaluation.voice.masking import measure_rarity, weigh_ngrams

MASKED_C, STYLE_C = 10.0, 0.01
CLIP = 4.0  # standard deviations; one odd text must not decide
STYLE_SHARE = 0.2  # of the raw score
MAX_PIECES = 400  # of each other author


@dataclass(frozen=True)
class Classifier:
    """The fitted weights; `raw` is what is calibrated."""

    rarity: np.ndarray
    masked_weights: np.ndarray
    masked_bias: float
    means: np.ndarray
    deviations: np.ndarray
    style_weights: np.ndarray
    style_bias: float
    style_share: float = STYLE_SHARE

    def raw(self, pieces: Features) -> np.ndarray:
        """One uncalibrated score a piece, a weighted mean of both logits; higher is more like the author."""
        if not len(pieces):
            return np.zeros(0)
        masked = weigh_ngrams(pieces.ngrams, self.rarity) @ self.masked_weights + self.masked_bias
        style = self.standardise(pieces.styles) @ self.style_weights + self.style_bias
        return np.asarray(self.style_share * style + (1 - self.style_share) * masked)

    def standardise(self, styles: np.ndarray) -> np.ndarray:
        """Style vectors in the training pieces' standard deviations, clipped."""
        return np.clip((styles - self.means) / self.deviations, -CLIP, CLIP)


def fit_classifier(author: Features, others: Mapping[str, Features], seed: int = 0) -> Classifier:
    """Fit the author's pieces against those of the other authors (at most MAX_PIECES each, drawn by `seed`)."""
    from sklearn.linear_model import LogisticRegression

    choice = np.random.default_rng(seed)
    rest = []
    for _, pieces in sorted(others.items()):
        if len(pieces) > MAX_PIECES:
            pieces = pieces.take(np.sort(choice.choice(len(pieces), MAX_PIECES, replace=False)))
        if len(pieces):
            rest.append(pieces)
    everything = join([author, *rest])
    answers = np.concatenate([np.ones(len(author)), np.zeros(sum(map(len, rest)))])
    weights = np.concatenate(
        [np.full(len(author), 1 / len(author)), *(np.full(len(r), 1 / len(r) / len(rest)) for r in rest)]
    )
    weights /= weights.mean()
    rarity = measure_rarity(everything.ngrams)
    masked = LogisticRegression(C=MASKED_C, solver="liblinear", max_iter=200, random_state=0)
    masked.fit(weigh_ngrams(everything.ngrams, rarity), answers, sample_weight=weights)
    means = np.average(everything.styles, axis=0, weights=weights)
    variances = np.average((everything.styles - means) ** 2, axis=0, weights=weights)
    deviations = np.sqrt(variances) + 1e-6
    style = LogisticRegression(C=STYLE_C, solver="liblinear", max_iter=200, random_state=0)
    style.fit(np.clip((everything.styles - means) / deviations, -CLIP, CLIP), answers, sample_weight=weights)
    return Classifier(
        rarity,
        masked.coef_[0],
        float(masked.intercept_[0]),
        means,
        deviations,
        style.coef_[0],
        float(style.intercept_[0]),
    )
