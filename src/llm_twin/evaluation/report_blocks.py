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
    folded: bool = False  # whether the table opens on a click


def format_interval(interval: Interval, digits: int = 3) -> str:
    """Such as `0.812 [0.771, 0.853]`."""
    mean = format_number(interval.mean, digits)
    if interval.low is None or interval.high is None:
        return f"{mean} (one value)"
    return f"{mean} [{format_number(interval.low, digits)}, {format_number(interval.high, digits)}]"


def format_number(value: float, digits: int = 3) -> str:
    """With so many digits, and no minus before a nought."""
    return f"{value:z.{digits}f}"
