"""The whole evaluation of this home's twin on 100 prompts without a judge: how long, besides generation?"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

DESCRIPTION = "the whole evaluation of the sample twin, 100 prompts, no judge: seconds besides generation"
PROMPTS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command-line options."""
    parser.add_argument("--author", default="", help="whose twin of LLM_TWIN_HOME; needed where it holds several")
    parser.add_argument("--answers", type=Path, help="score these answers of an earlier run instead of generating")
    parser.add_argument("--keep", type=Path, help="write the answers here")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Plan, generate, score twice, report; prints seconds of each part."""
    from llm_twin.cli.evaluating import find_built, open_parts, read_chunks
    from llm_twin.evaluation.answers import Models, collect_answers, read_answers, write_answers
    from llm_twin.evaluation.finish import write_results
    from llm_twin.evaluation.run import plan_evaluation, score_answers
    from llm_twin.local.home import open_home
    from llm_twin.recipes import EvaluationRecipe
    from llm_twin.serving.checks import make_twin
    from llm_twin.settings import HomeSettings, QuantizeSettings
    from pipelines.launch import find_quantize_python

    find_quantize_python()
    home = open_home(HomeSettings().root)
    recipe = EvaluationRecipe(max_generations=60, max_questions=24, max_attacks=16)
    marks = [time.monotonic()]
    built = find_built(home, args.author, {})
    with open_parts(built.author.id, recipe, home) as retrieval, tempfile.TemporaryDirectory() as folder:
        chunks = read_chunks(built.parts["chunks"])

        def plan(settings: EvaluationRecipe):  # type: ignore[no-untyped-def]
            samples = built.parts["samples"]
            return plan_evaluation(built.author.id, built.index, samples, chunks, retrieval, settings)

        task = plan(recipe)
        short = PROMPTS - len(task.prompts.conversations())
        if short > 0:  # few held-out samples: more questions to the sources instead
            recipe = recipe.model_copy(update={"max_questions": recipe.max_questions + short})
            marks = [time.monotonic()]
            task = plan(recipe)
        marks.append(time.monotonic())
        if args.answers:
            answers = read_answers(args.answers, task.prompts)
        else:
            adapters = {name: path for name, path in built.parts.items() if name in ("sft", "dpo")}
            quantized, python = built.parts.get("quantized"), QuantizeSettings().python
            models = Models(built.parts["base"], adapters, quantized, python)
            twin = make_twin(built.author, retrieval, recipe)
            answers = collect_answers(models, task.prompts, task.model_prompts(), recipe, twin)
        if args.keep:
            write_answers(args.keep, answers)
        marks.append(time.monotonic())
        scores = score_answers(task, answers)
        marks.append(time.monotonic())
        uri = f"sqlite:///{folder}/mlflow.db"
        write_results(scores, recipe.model_dump(), uri, f"{folder}/scores.json", f"{folder}/report.html")
        marks.append(time.monotonic())
        same = score_answers(task, answers).model_dump_json() == scores.model_dump_json()
    planned, generated, scored, reported = (after - before for before, after in zip(marks, marks[1:], strict=False))
    figures: dict[str, float | int | str] = {
        "prompts": len(task.prompts.conversations()),
        "candidates": len(scores.candidates),
        "retrieval_seconds": round(planned, 1),
        "generation_seconds": round(generated, 1),
        "scoring_seconds": round(scored, 1),
        "report_seconds": round(reported, 1),
        "besides_generation_seconds": round(planned + scored + reported, 1),
        "same_twice": int(same),
    }
    for name, value in figures.items():
        print(f"{name:<28} {value:>8}")
    return figures
