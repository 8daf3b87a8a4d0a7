"""Means with intervals, paired differences, effect sizes and corrections: small, exact, documented.

The unit is always the prompt or the document, never a chunk or a token: chunks of one document agree with one
another, and an interval over them claims far more than it knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

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
