"""`twin batch`: a file of questions to a file of answers, here or on Kubeflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from llm_twin.cli.run import Where


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("batch")(batch)


def batch(
    source: str = typer.Argument(..., help='JSON lines: {"question": "…"}, perhaps with id and model.'),
    target: str = typer.Argument(..., help="Where the answers go, a line each; run again, it goes on."),
    shards: int = typer.Option(0, min=0, help="Run the pipeline `batch` with so many shards; 0: ask from here."),
    on: Where = typer.Option(Where.here, help="Where the pipeline runs: this machine, or Kubeflow Pipelines."),
    shard: str = typer.Option("1/1", help="Without the pipeline: only this part of the lines, such as 2/4."),
    author: str = typer.Option("", help="Whose twin, where a line names no model."),
    url: str = typer.Option("", help="A server to ask; default: the one that `twin serve` keeps up, or one for now."),
    parallel: int = typer.Option(8, min=1, help="Questions under way at once, in each shard."),
    run_name: str = typer.Option("batch", help="Kubeflow: the run's name."),
    wait: bool = typer.Option(False, help="Kubeflow: wait for the run's end, and fetch the answers."),
) -> None:
    """Ask a file of questions.

    On Kubeflow the twin that the cluster serves is asked; files may be s3:// addresses there.

    Examples: `twin batch questions.jsonl answers.jsonl`, `twin batch questions.jsonl answers.jsonl --shards 4`,
    `twin batch questions.jsonl answers.jsonl --shards 16 --on kubeflow --wait`
    """
    from llm_twin.errors import InputError
    from llm_twin.serving.batch import read_questions

    chosen: dict[str, Any] = {"shards": shards or 4, "model": author, "parallel": parallel}
    part, _, of = shard.partition("/")
    if not (part.isdigit() and of.isdigit()):
        raise InputError(f"--shard {shard!r}", "give it as 2/4")
    if (shards or on is Where.kubeflow) and of != "1":
        raise InputError("--shard is for asking from here", "the pipeline asks all shards: give --shards N alone")
    if not source.startswith("s3://"):
        next(read_questions(Path(source)), None)  # a file that cannot be read is told before a server is started
    if on is Where.kubeflow:
        _submit(source, target, run_name, wait, chosen)
    elif shards:
        _run_pipeline(Path(source), Path(target), url, author, chosen)
    else:
        options = {"shard": int(part) - 1, "shards": int(of), "model": author, "parallel": parallel}
        _ask_from_here(Path(source), Path(target), url, author, options)


def _ask_from_here(source: Path, target: Path, url: str, author: str, options: dict[str, Any]) -> None:
    from llm_twin.cli.serving import asked_server
    from llm_twin.serving.batch import run_batch

    with asked_server(url, author) as (there, key):
        done = run_batch(source, target, there, api_key=key, **options)
    print(f"{done.asked} asked, {done.known} known from before, {done.failed} failed: {target}")


def _run_pipeline(source: Path, target: Path, url: str, author: str, chosen: dict[str, Any]) -> None:
    from llm_twin.cli.display import make_console, watch_steps
    from llm_twin.cli.serving import asked_server
    from llm_twin.local.home import open_home
    from llm_twin.settings import HomeSettings
    from pipelines.batch_run import run_here
    from pipelines.catalogue import stages_of_steps

    home = open_home(HomeSettings().root)
    with asked_server(url, author) as (there, key), watch_steps(make_console(), stages_of_steps()) as listen:
        result = run_here(source, target, there, key, home, listen, **chosen)
    cached = sum(step.status == "cached" for step in result.steps)
    print(f"{result.outputs['answers'].metadata['summary']}, {cached} shards known from before: {target}")


def _submit(source: str, target: str, run_name: str, wait: bool, chosen: dict[str, Any]) -> None:
    from llm_twin.settings import KubeflowSettings
    from pipelines import kubeflow
    from pipelines.batch_run import bring_home, submit

    settings = KubeflowSettings()
    run_id, place = submit(source, target, settings, run_name, **chosen)
    print(f"run {run_id} ({run_name}) submitted to {settings.host or 'the in-cluster API'}; its answers: {place}")
    if wait:
        print(f"  {kubeflow.wait(run_id, settings, timeout_seconds=7 * 24 * 3600)}")
        if not target.startswith("s3://"):
            bring_home(place, Path(target))
            print(f"  {target}")
