"""SFT and DPO as pipeline steps run them: preflight, a place for checkpoints, MLflow, a report."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_json, digest_path
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.loop import TrainingResult
from llm_twin.training.report import render_report
from llm_twin.training.reproduce import digest_weights
from llm_twin.training.samples import training_author
from llm_twin.training.tracking import track_run


def run_sft(
    base: Path,
    samples: Path,
    recipe: TrainingRecipe,
    adapter: Path,
    report: Path,
    state: Path,
    tracking_uri: str,
    code: str = "",
    force: bool = False,
) -> TrainingResult:
    """Preflight, SFT, MLflow run and report. `state` keeps checkpoints while the step is not finished."""
    from llm_twin.training.preflight import check_sft
    from llm_twin.training.sft import train_sft

    check_sft(base, samples, recipe, state, force=force)

    def train(work: Path, watchers: list[Any]) -> TrainingResult:
        return train_sft(base, samples, recipe, adapter, work, watchers=watchers)

    inputs = {"base": base, "samples": samples}
    return _run("sft", inputs, recipe, adapter, report, state, tracking_uri, code, train)


def run_dpo(
    base: Path,
    adapter: Path,
    samples: Path,
    recipe: TrainingRecipe,
    preferred: Path,
    report: Path,
    state: Path,
    tracking_uri: str,
    code: str = "",
) -> TrainingResult:
    """DPO, MLflow run and report. `state` keeps checkpoints while the step is not finished."""
    from llm_twin.training.dpo import train_dpo

    def train(work: Path, watchers: list[Any]) -> TrainingResult:
        return train_dpo(base, adapter, samples, recipe, preferred, work, watchers=watchers)

    inputs = {"base": base, "adapter": adapter, "samples": samples}
    return _run("dpo", inputs, recipe, preferred, report, state, tracking_uri, code, train)


def _run(
    step: str,
    inputs: dict[str, Path],
    recipe: TrainingRecipe,
    output: Path,
    report: Path,
    state: Path,
    tracking_uri: str,
    code: str,
    train: Callable[[Path, list[Any]], TrainingResult],
) -> TrainingResult:
    digests = {name: digest_path(path) for name, path in inputs.items()}
    work = state / digest_json([step, digests, recipe.model_dump(mode="json"), code])
    tags = {"step": step, **{f"{name}_digest": digest for name, digest in digests.items()}}
    tags |= {"base_model": recipe.base_model, "seed": str(recipe.seed), "code": code}
    tags["author"] = training_author(inputs["samples"])
    if not is_first_process():
        return train(work, [])  # under torchrun the first process writes, for all
    run = track_run(tracking_uri, f"{step} {recipe.base_model}", work, tags)
    try:
        result = train(work, [run.watch])
    except BaseException:
        run.pause()
        raise
    record = json.loads((output / "training.json").read_text(encoding="utf-8"))
    page = render_report(result, record, recipe.max_gradient_norm)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(page, encoding="utf-8")
    run.client.set_tag(run.run_id, "output_digest", digest_path(output))
    record["weights"] = digest_weights(output)
    run.finish(result, record | {"paths": {name: str(path) for name, path in inputs.items()}}, page)
    shutil.rmtree(work, ignore_errors=True)  # finished: the checkpoints have done their work
    return result


def is_first_process() -> bool:
    """Whether this process writes: alone it does, under torchrun the first of all nodes' processes."""
    return os.environ.get("RANK", "0") == "0"
