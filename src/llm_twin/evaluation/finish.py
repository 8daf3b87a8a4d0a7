"""What an evaluation begins and ends with: the jury, and the scores file, the report and an MLflow run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_twin.errors import InputError
from llm_twin.evaluation.gate import judge_promotion
from llm_twin.evaluation.mlflow_log import champion_measures, log_scores
from llm_twin.evaluation.report import render_report
from llm_twin.evaluation.scores import Scores, write_scores
from llm_twin.llm import LlmClient, open_client
from llm_twin.recipes import EvaluationRecipe, JudgeRecipe


def open_jury(recipe: JudgeRecipe, base_url: str, key: str, cache_dir: Path) -> dict[str, LlmClient]:
    """The recipe's judges by name; none where it names none.

    Raises InputError when there are judges to ask and no endpoint is set.
    """
    if recipe.models and not base_url:
        raise InputError(
            f"the recipe names {', '.join(recipe.models)} as judges, but no endpoint is set",
            "set LLM_TWIN_LLM_BASE_URL (and LLM_TWIN_LLM_API_KEY), or leave evaluation.judge.models empty",
        )
    clients = {name: open_client(base_url, name, recipe.llm, key, cache_dir) for name in recipe.models}
    return {name: client for name, client in clients.items() if client is not None}


def write_results(scores: Scores, recipe: dict[str, Any], tracking_uri: str, scores_path: str, report_path: str) -> str:
    """Write scores and report, with what the gate says of them; log both; return the MLflow run's id."""
    write_scores(scores_path, scores)
    gate = EvaluationRecipe.model_validate(recipe).gate
    decision = judge_promotion(scores.measures, champion_measures(tracking_uri, scores.author), gate)
    page = Path(report_path)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_report(scores, decision), encoding="utf-8")
    return log_scores(tracking_uri, scores, recipe, page)
