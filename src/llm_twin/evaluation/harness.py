"""General benchmarks (MMLU, IFEval and some thousands of other tasks) through lm-evaluation-harness.

An optional extra: `pip install llm-twin[benchmarks]`. Task data come from the Hugging Face hub unless a task file of
your own (`benchmarks.include`) names local files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from llm_twin.errors import InputError, ModelError
from llm_twin.progress import report
from llm_twin.recipe_parts import BenchmarksRecipe


class TaskScore(BaseModel):
    """One metric of one task; `error` is the harness's own standard error, None where it gives none."""

    value: float
    error: float | None
    questions: int


def run_benchmarks(model: Any, tokenizer: Any, recipe: BenchmarksRecipe, seed: int) -> dict[str, TaskScore]:
    """Run the recipe's tasks on a model in this process: `task/metric` → score.

    Raises InputError when the harness is not installed or knows no such task, and ModelError when a task's data
    cannot be had.
    """
    manager = _open_tasks(recipe.include)
    require_tasks(recipe.tasks, manager)
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    report(f"evaluation: lm-evaluation-harness: {', '.join(recipe.tasks)}")
    wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8, device=str(next(model.parameters()).device))
    return _evaluate(lm_eval, wrapped, manager, recipe, seed)


def run_benchmarks_at(base_url: str, name: str, recipe: BenchmarksRecipe, seed: int) -> dict[str, TaskScore]:
    """Run the recipe's tasks that are answered in writing on a model behind an OpenAI-compatible chat endpoint."""
    manager = _open_tasks(recipe.include)
    require_tasks(recipe.tasks, manager)
    import lm_eval
    from lm_eval.models.openai_completions import LocalChatCompletion

    url = f"{base_url.rstrip('/')}/chat/completions"
    wrapped = LocalChatCompletion(base_url=url, model=name, tokenizer_backend=None, num_concurrent=1)
    return _evaluate(lm_eval, wrapped, manager, recipe, seed, apply_chat_template=True)


def list_tasks(include: str = "") -> list[str]:
    """The names of all tasks that the harness knows, groups among them. Needs no network."""
    return sorted(_open_tasks(include).all_tasks)


def require_tasks(tasks: Sequence[str], manager: Any) -> None:
    """Raises InputError for a task that the harness does not know, with names near to it."""
    import difflib

    for task in tasks:
        if not manager.match_tasks([task]):
            near = difflib.get_close_matches(task, manager.all_tasks, n=3)
            raise InputError(
                f"lm-evaluation-harness knows no task {task!r}",
                f"did you mean {', '.join(near)}?" if near else "`twin evaluate tasks` lists them",
            )


def _open_tasks(include: str) -> Any:
    os.environ.setdefault("HF_DATASETS_DISABLE_TELEMETRY", "1")
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise InputError("lm-evaluation-harness is not installed", "pip install 'llm-twin[benchmarks]'") from error
    if include and not Path(include).is_dir():
        raise InputError(f"no folder of task files: {include}", "mend evaluation.benchmarks.include")
    return TaskManager(include_path=include or None)


def _evaluate(
    lm_eval: Any, wrapped: Any, manager: Any, recipe: BenchmarksRecipe, seed: int, **options: Any
) -> dict[str, TaskScore]:
    try:
        found = lm_eval.simple_evaluate(
            model=wrapped,
            tasks=list(recipe.tasks),
            num_fewshot=recipe.shots or None,
            limit=recipe.limit or None,
            task_manager=manager,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
            bootstrap_iters=1000,
            log_samples=False,
            verbosity="ERROR",
            **options,
        )
    except (OSError, ConnectionError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"lm-evaluation-harness could not run {', '.join(recipe.tasks)}: {error}",
            "its data come from huggingface.co: check the network, or name task files with local data",
        ) from error
    counts = found.get("n-samples", {})
    return {
        f"{task}/{metric.removesuffix(',none').replace(',', ' ')}": TaskScore(
            value=float(value),
            error=_number(metrics.get(_error_name(metric))),
            questions=int(counts.get(task, {}).get("effective", 0)),
        )
        for task, metrics in found["results"].items()
        for metric, value in metrics.items()
        if isinstance(value, (int, float)) and "," in metric and "_stderr" not in metric
    }


def _error_name(metric: str) -> str:
    name, _, kind = metric.partition(",")
    return f"{name}_stderr,{kind}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
