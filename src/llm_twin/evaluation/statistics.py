"""Means with intervals, paired differences, effect sizes and corrections: small, exact, documented.

The unit is always the prompt or the document, never a chunk or a token: chunks of one document agree with one
another, and an interval over them claims far more than it knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict


class Interval(BaseModel):
    """A mean with its two-sided interval; `low` and `high` are None when there are too few values (< 2)."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float | None
    high: float | None
    deviation: float  # sample standard deviation; 0 for one value
    median: float
    count: int
    level: float = 0.95


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of independent values with Student's t interval. Raises ValueError on no values."""
    from scipy import stats

    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("no values")
    mean = math.fsum(data) / data.size
    if data.size == 1:
        return Interval(mean=mean, low=None, high=None, deviation=0, median=mean, count=1, level=level)
    deviation = float(data.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, data.size - 1)) * deviation / math.sqrt(data.size)
    return Interval(
        mean=mean,
        low=mean - half,
        high=mean + half,
        deviation=deviation,
        median=float(np.median(data)),
        count=int(data.size),
        level=level,
    )


class Difference(BaseModel):
    """A paired comparison: second minus first, over prompts (or documents) that both have."""

    model_config = ConfigDict(frozen=True)

    first: str
    second: str
    difference: Interval
    effect_size: float  # Cohen's d_z: mean difference in standard deviations of the difference
    p_value: float  # the larger of Student's paired t and a sign-flip permutation test, two-sided
    corrected: float  # after Holm's correction for all pairs compared together
    different: bool  # corrected p at most 1 - level


def compare_pairs(
    values: Mapping[str, Mapping[str, float]],
    pairs: Sequence[tuple[str, str]] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> list[Difference]:
    """Compare candidates (name → prompt → value) pair by pair; all pairs unless some are named.

    A pair with fewer than two common prompts is left out. Two tests must agree before a difference is called one:
    the t test leans on a normal mean, the permutation test on symmetry; neither is trusted alone.
    """
    names = list(values)
    wanted = pairs or [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    found: list[tuple[str, str, Interval, float, float]] = []
    for first, second in wanted:
        common = sorted(set(values[first]) & set(values[second]))
        if len(common) < 2:
            continue
        apart = np.array([values[second][p] - values[first][p] for p in common])
        interval = mean_interval(apart.tolist(), level)
        effect = interval.mean / interval.deviation if interval.deviation else math.copysign(math.inf, interval.mean)
        found.append((first, second, interval, effect if interval.mean else 0.0, _p_value(apart, seed)))
    corrected = correct_holm([p_value for *_, p_value in found])
    return [
        Difference(
            first=first,
            second=second,
            difference=interval,
            effect_size=effect,
            p_value=p_value,
            corrected=after,
            different=after <= 1 - level,
        )
        for (first, second, interval, effect, p_value), after in zip(found, corrected, strict=True)
    ]


def _p_value(apart: np.ndarray, seed: int, flips: int = 4000) -> float:
    from scipy import stats

    if not np.any(apart):
        return 1.0
    by_t = float(stats.ttest_1samp(apart, 0).pvalue) if apart.std() else 0.0
    signs = np.random.default_rng(seed).integers(0, 2, size=(flips, len(apart)), dtype=np.int8) * 2 - 1
    extreme = np.abs(signs @ apart) >= abs(apart.sum()) - 1e-12
    by_flips = (1 + int(extreme.sum())) / (1 + flips)
    return max(by_t, by_flips)


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the chance of any false difference among all stays at the level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def prompts_needed(deviation: float, effect: float, power: float = 0.8, level: float = 0.95) -> int:
    """How many prompts find a mean paired difference of `effect`, given the differences' standard deviation."""
    from scipy.stats import norm

    if effect == 0:
        raise ValueError("an effect of 0 can never be found")
    z = float(norm.ppf((1 + level) / 2) + norm.ppf(power))
    return max(2, math.ceil((z * deviation / effect) ** 2))


def welch_interval(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of `second` minus mean of `first`, independent samples of two or more: (difference, low, high)."""
    from scipy import stats

    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    apart = float(b.mean() - a.mean())
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if va + vb == 0:
        return apart, apart, apart
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = float(stats.t.ppf((1 + level) / 2, freedom) * math.sqrt(va + vb))
    return apart, apart - half, apart + half
