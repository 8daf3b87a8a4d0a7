"""Does the window just seen differ from the reference: by Evidently, column by column, with a plain summary.

Evidently picks a test by kind and size of column (Kolmogorov-Smirnov, chi-square, Z; distances for large windows).
A column that either window lacks is left out and named. Below `MIN_OBSERVATIONS` the tests have little power, and
the summary says so instead of reporting that all is well.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from llm_twin.monitoring.observations import Observation

NUMBERS = [
    "query_words",
    "answer_words",
    "supported_share",
    "best_score",
    "mean_score",
    "passages",
    "seconds",
]
CATEGORIES = ["status"]
MIN_OBSERVATIONS = 30  # in each window, for a test to find a shift of one standard deviation nine times in ten


class ColumnDrift(BaseModel):
    """One column: the test, its p-value or distance, and both windows' means (shares for a category)."""

    column: str
    method: str
    score: float
    drifted: bool
    reference_mean: float | None = None
    current_mean: float | None = None


class Drift(BaseModel):
    """The comparison of two windows."""

    reference: str  # where the reference is from
    reference_count: int
    current_count: int
    enough: bool  # both windows reach MIN_OBSERVATIONS
    drifted_share: float
    drifted: bool  # share at or above the recipe's, and enough observations to say so
    columns: list[ColumnDrift]
    left_out: list[str]


def compare_windows(
    current: Sequence[Observation], reference: Sequence[Observation], drift_share: float, origin: str
) -> tuple[Drift, str]:
    """Compare `current` with `reference`. Returns the summary and an HTML page."""
    if not current or not reference:
        drift = _no_comparison(len(current), len(reference), origin)
        return drift, f"<!doctype html><title>Drift</title><body>{_render_summary(drift)}</body>"
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    frames = [pd.DataFrame([o.model_dump() for o in window]) for window in (current, reference)]
    kept = [name for name in NUMBERS + CATEGORIES if all(frame[name].notna().any() for frame in frames)]
    numbers = [name for name in kept if name in NUMBERS]
    categories = [name for name in kept if name in CATEGORIES]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    datasets = [
        Dataset.from_pandas(frame[kept].astype(dict.fromkeys(numbers, float)), data_definition=definition)
        for frame in frames
    ]
    snapshot = Report([DataDriftPreset(drift_share=drift_share)]).run(datasets[0], datasets[1])
    columns = _read_columns(snapshot.dict()["metrics"], frames[0], frames[1])
    share = sum(column.drifted for column in columns) / max(len(columns), 1)
    enough = min(len(current), len(reference)) >= MIN_OBSERVATIONS
    drift = Drift(
        reference=origin,
        reference_count=len(reference),
        current_count=len(current),
        enough=enough,
        drifted_share=share,
        drifted=enough and share >= drift_share,
        columns=columns,
        left_out=[name for name in NUMBERS + CATEGORIES if name not in kept],
    )
    page = snapshot.get_html_str(as_iframe=False)
    return drift, page.replace("<body>", f"<body>{_render_summary(drift)}", 1)


def _read_columns(metrics: list[dict[str, Any]], current: Any, reference: Any) -> list[ColumnDrift]:
    columns = []
    for metric in metrics:
        config = metric["config"]
        if "column" not in config or "method" not in config:
            continue
        name, score, threshold = config["column"], float(metric["value"]), float(config["threshold"])
        method = str(config["method"])
        drifted = score < threshold if "p_value" in method else score >= threshold
        number = name in NUMBERS
        columns.append(
            ColumnDrift(
                column=name,
                method=method,
                score=score,
                drifted=drifted,
                reference_mean=float(reference[name].astype(float).mean()) if number else None,
                current_mean=float(current[name].astype(float).mean()) if number else None,
            )
        )
    return columns


def headline(drift: Drift) -> dict[str, float]:
    """The figures by name, flat."""
    figures = {
        "drifted_share": drift.drifted_share,
        "drifted": float(drift.drifted),
        "observations": float(drift.current_count),
        "reference_observations": float(drift.reference_count),
    }
    return figures | {f"drift_{column.column}": round(column.score, 6) for column in drift.columns}


def _no_comparison(current: int, reference: int, origin: str) -> Drift:
    return Drift(
        reference=origin,
        reference_count=reference,
        current_count=current,
        enough=False,
        drifted_share=0,
        drifted=False,
        columns=[],
        left_out=[],
    )


def describe(drift: Drift) -> str:
    """One sentence for a table or a log."""
    moved = [_name_move(column) for column in drift.columns if column.drifted]
    what = ", ".join(moved) or "no column"
    sentence = f"{drift.current_count} answers against {drift.reference_count} ({drift.reference}): {what} moved"
    if not drift.enough:
        sentence += f"; too few to conclude from ({MIN_OBSERVATIONS} in each window would do)"
    return sentence


def _name_move(column: ColumnDrift) -> str:
    if column.reference_mean is None or column.current_mean is None:
        return column.column
    return f"{column.column} ({column.reference_mean:.3g} → {column.current_mean:.3g})"


def _render_summary(drift: Drift) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(c.column)}</td><td>{html.escape(c.method)}</td><td>{c.score:.4f}</td>"
        f"<td>{_number(c.reference_mean)}</td><td>{_number(c.current_mean)}</td>"
        f"<td>{'moved' if c.drifted else ''}</td></tr>"
        for c in drift.columns
    )
    left_out = f"<p>Not known in one of the windows: {', '.join(drift.left_out)}.</p>" if drift.left_out else ""
    return (
        '<section style="font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto">'
        f"<h1>Drift</h1><p>{html.escape(describe(drift))}.</p>"
        "<table><tr><th>column</th><th>test</th><th>score</th><th>reference</th><th>now</th><th></th></tr>"
        f"{rows}</table>{left_out}</section>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
