"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_twin.evaluation.statistics import Interval


@dataclass(frozen=True)
class Block:
    """One section of the page: a text, perhaps a plot (SVG), perhaps a table."""

    title: str
    text: str
    plot: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def format_interval(interval: Interval, digits: int = 3) -> str:
    """Such as `0.812 [0.771, 0.853]`."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.{digits}f} (one value)"
    return f"{interval.mean:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
