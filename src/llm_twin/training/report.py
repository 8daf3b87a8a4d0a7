"""The HTML page of a training step: verdict, figures, curves, texts before and after, and what the run was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from llm_twin.training.loop import TrainingResult
from llm_twin.training.plots import draw_curves
from llm_twin.training.stability import judge_stability

TEMPLATE = Path(__file__).parent / "report.html.jinja"


def render_report(result: TrainingResult, record: dict[str, Any], max_gradient_norm: float = 1.0) -> str:
    """One self-contained page; everything that the models wrote is escaped."""
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        method=result.method,
        verdict=judge_stability(result.history, max_gradient_norm) if result.history else None,
        figures=[(name.replace("_", " "), f"{value:,.4g}") for name, value in result.figures.items()],
        speed=[(name.replace("_", " "), f"{value:,.1f}") for name, value in result.speed.items()],
        curves=draw_curves(result.history),
        writings=result.writings,
        notes=result.notes,
        record=[(key, _plain(value)) for key, value in record.items() if key != "figures"],
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    return str(value)
