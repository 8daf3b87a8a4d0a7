"""Plots of the evaluation report, as SVG text that needs no script and no font from outside."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_twin.evaluation.statistics import Interval

COLOURS = ["#4c5b6b", "#2f7fb8", "#d1691f", "#3b8a3e", "#8d4fa8", "#a33"]


def paired_documents(by_candidate: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each document, from candidate to candidate: does every document move the same way?"""
    figure, axes = _figure(height=3.2)
    names = list(by_candidate)
    documents = sorted({document for values in by_candidate.values() for document in values})
    for document in documents:
        axes.plot(
            names,
            [by_candidate[name].get(document) for name in names],
            color="#9ab",
            linewidth=1,
            marker="o",
            markersize=3,
        )
    means = [sum(by_candidate[n].values()) / max(len(by_candidate[n]), 1) for n in names]
    axes.plot(names, means, color="#d1691f", linewidth=2.5, marker="o", label="mean of documents")
    axes.set_ylabel("nats a token")
    axes.legend(frameon=False)
    return _to_svg(figure)


def intervals(measures: Mapping[str, Interval], references: Sequence[float] = ()) -> str:
    """Each measure as a point with its interval, and dotted lines to read them by."""
    figure, axes = _figure(height=0.7 + 0.32 * len(measures))
    for row, (_, interval) in enumerate(measures.items()):
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [row, row], color="#2f7fb8", linewidth=2)
        axes.plot([interval.mean], [row], "o", color="#2f7fb8")
    for reference in references:
        axes.axvline(reference, color="#999", linestyle=":")
    axes.set_yticks(range(len(measures)), list(measures))
    axes.invert_yaxis()
    return _to_svg(figure)


def differences(rows: Mapping[str, tuple[float, float, float, bool]]) -> str:
    """Standardised paired differences (effect, low, high, told apart): right of the line is more, left is less."""
    figure, axes = _figure(height=0.6 + 0.26 * len(rows))
    for row, (effect, low, high, told) in enumerate(rows.values()):
        colour = "#d1691f" if told else "#9ab"
        axes.plot([low, high], [row, row], color=colour, linewidth=2)
        axes.plot([effect], [row], "o", color=colour)
    axes.axvline(0, color="#999", linestyle=":")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel("difference in its standard deviations; orange: told apart")
    axes.invert_yaxis()
    return _to_svg(figure)


def _figure(height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "llm-twin"  # the same plot gives the same bytes
    matplotlib.rcParams["svg.fonttype"] = "none"
    figure, axes = plt.subplots(figsize=(7.5, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _to_svg(figure: Any) -> str:
    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    return text[text.index("<svg") :]
