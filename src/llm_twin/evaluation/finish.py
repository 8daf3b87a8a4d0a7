"""What an evaluation leaves: the scores file, the report, and an MLflow run."""

from __future__ import annotations

from pathlib import Path

from llm_twin.evaluation.mlflow_log import log_scores
from llm_twin.evaluation.report import render_report
from llm_twin.evaluation.scores import Scores, write_scores


def write_results(
    scores: Scores, recipe: dict[str, object], tracking_uri: str, scores_path: str, report_path: str
) -> str:
    """Write scores and report, log both; return the MLflow run's id."""
    write_scores(scores_path, scores)
    page = Path(report_path)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_report(scores), encoding="utf-8")
    return log_scores(tracking_uri, scores, recipe, page)
