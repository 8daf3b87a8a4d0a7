"""The curves of a run as SVG, drawn with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence

CURVES = {
    "Loss": {"loss": "training", "eval_loss": "validation"},
    "Learning rate": {"learning_rate": "learning rate"},
    "Gradient norm": {"grad_norm": "gradient norm"},
    "Reward margin": {"rewards/margins": "chosen minus rejected"},
    "Reward accuracy": {"rewards/accuracies": "pairs with the author's text ahead"},
}


def draw_curves(history: Sequence[dict[str, float]]) -> list[tuple[str, str]]:
    """(title, SVG) of every curve that the log history holds."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    drawn = []
    for title, names in CURVES.items():
        lines = {
            label: [(entry["step"], entry[name]) for entry in history if name in entry and "step" in entry]
            for name, label in names.items()
        }
        lines = {label: points for label, points in lines.items() if points}
        if not lines:
            continue
        figure, axes = pyplot.subplots(figsize=(5.2, 2.8))
        for label, points in lines.items():
            marker = "o" if len(points) < 12 else ""
            axes.plot(*zip(*points, strict=True), label=label, marker=marker, markersize=3, linewidth=1.2)
        axes.set_xlabel("step")
        axes.set_ylabel(title.lower())
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend()
        figure.tight_layout()
        page = io.StringIO()
        figure.savefig(page, format="svg")
        pyplot.close(figure)
        text = page.getvalue()
        drawn.append((title, text[text.index("<svg") :]))
    return drawn
