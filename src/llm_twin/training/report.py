"""The HTML report of a training step: figures, curves, and what the model wrote before and after."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader

from llm_twin.training.loop import TrainingResult

# name in transformers' log history → title of its plot
CURVES = {
    "loss": "training loss",
    "eval_loss": "validation loss",
    "learning_rate": "learning rate",
    "rewards/margins": "reward margin",
    "rewards/accuracies": "reward accuracy",
}


def render_training(result: TrainingResult) -> str:
    """The page, self-contained; plots are inline SVG."""
    environment = Environment(loader=PackageLoader("llm_twin.training", "templates"), autoescape=True)
    return environment.get_template("report.html.jinja").render(
        result=result, plots=[plot for plot in (_plot(result.history, *curve) for curve in CURVES.items()) if plot]
    )


def _plot(history: Sequence[dict[str, Any]], key: str, title: str) -> str:
    """One curve over steps as SVG; empty where the run logged fewer than two values of it."""
    points = [(entry["step"], entry[key]) for entry in history if key in entry and "step" in entry]
    if len(points) < 2:
        return ""
    from matplotlib.figure import Figure  # the object interface: no global state, no display

    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "")
    axes.set(title=title, xlabel="step")
    axes.grid(alpha=0.3)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]
