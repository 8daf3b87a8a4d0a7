"""`twin run`: a recipe through its pipeline, on this machine or on Kubeflow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from llm_twin.recipes import Recipe
    from pipelines.launch import Launched


class Where(StrEnum):
    """Where a pipeline runs."""

    here = "here"
    kubeflow = "kubeflow"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    recipe: str = typer.Option(
        "sample", help="A shipped recipe (sample, laptop, llama3_8b_qlora, handbook) or a file."
    ),
    on: Where = typer.Option(Where.here, help="This machine, or a Kubeflow Pipelines installation."),
    pipeline: str = typer.Option(
        "",
        help="A part of the way, such as corpus; authors, sync: twins, or only indexes, of all of a sources file side "
        "by side; default: all of it.",
    ),
    from_export: Path | None = typer.Option(
        None, help="Collect from this folder: the LLM Engineer's Handbook's export."
    ),
    author: str = typer.Option("", help="Only this author of the recipe's sources file."),
    shards: int = typer.Option(
        1, min=1, max=256, help="Pipeline sync: write each author's documents in that many steps side by side."
    ),
    run_name: str = typer.Option("", help="Kubeflow: the run's name."),
    wait: bool = typer.Option(False, help="Kubeflow: wait for the run's end."),
    sample_data: Path | None = typer.Option(None, hidden=True, help="Another folder of sample data."),
) -> None:
    """Build a twin: collect, embed, make datasets, train, evaluate, serve, watch.

    What has not changed comes from the cache; a run that failed or was stopped goes on from there.

    Examples: `twin run`, `twin run --recipe my-twin/recipe.yaml`,
    `twin run --recipe handbook --from-export DIR`, `twin run --recipe R --on kubeflow`.
    """
    from llm_twin.errors import InputError
    from llm_twin.recipes import SourceRecipe, load_recipe
    from pipelines.catalogue import NAMES, OF_ALL_AUTHORS, WITHOUT_RECIPE, default_pipeline, find_recipe
    from pipelines.launch import with_sources_file

    loaded = load_recipe(find_recipe(recipe))
    if from_export is not None:
        if not from_export.is_dir():
            raise InputError(f"no such folder: {from_export}", "it holds ArticleDocument.json and UserDocument.json")
        source = SourceRecipe(location=str(from_export.absolute()), type="handbook")
        collection = loaded.collection.model_copy(update={"sources": [source]})
        loaded = loaded.model_copy(update={"collection": collection})
        pipeline = pipeline or "corpus"
    name = pipeline or default_pipeline(loaded)
    if name not in NAMES or name in WITHOUT_RECIPE:
        known = [one for one in NAMES if one not in WITHOUT_RECIPE]
        raise InputError(f"no pipeline {name!r} of a recipe", f"one of: {', '.join(known)}")
    recipes = [found for found in with_sources_file(loaded) if not author or found.author.id == author]
    if not recipes:
        raise InputError(f"no author {author!r} in {loaded.collection.sources_file}", "name one that the file lists")
    if any(not chosen.collection.sources for chosen in recipes):
        raise InputError(f"the recipe {recipe!r} names no sources", "add collection.sources, or give --from-export DIR")
    if shards > 1 and name != "sync":
        raise InputError(f"the pipeline {name!r} has no shards", "give --shards to --pipeline sync")
    if name in OF_ALL_AUTHORS:
        given = {"shards": shards} if shards > 1 else {}
        if on is Where.kubeflow:
            _submit(recipes[0], name, run_name or loaded.name, wait, recipes[1:], given)
        else:
            _run_here(recipes[0], name, sample_data, recipes[1:], given)
        return
    for chosen in recipes:
        if on is Where.kubeflow:
            _submit(chosen, name, run_name or f"{chosen.name}-{chosen.author.id}", wait)
        else:
            _run_here(chosen, name, sample_data)


def _run_here(
    recipe: Recipe,
    name: str,
    sample_data: Path | None,
    others: Sequence[Recipe] = (),
    given: Mapping[str, int] | None = None,
) -> None:
    from llm_twin.cli.display import make_console, print_answers, print_steps, watch_steps
    from llm_twin.local.home import open_home
    from llm_twin.settings import HomeSettings
    from pipelines.catalogue import stages_of_steps
    from pipelines.launch import describe_outputs, launch, write_run_report

    console, stages = make_console(), stages_of_steps()
    home = open_home(HomeSettings().root)
    begun = time.monotonic()
    who = ", ".join(one.author.name for one in (recipe, *others))
    console.print(f"[bold]{who}[/]: recipe {recipe.name}, pipeline {name}, state in {home.root}")
    with watch_steps(console, stages) as listen:
        launched: Launched = launch(recipe, home, listen, name, sample_data, others, given)
    came_out = describe_outputs(launched)
    console.print()
    print_steps(console, launched.run.steps, stages, came_out)
    if launched.answers:
        print_answers(console, launched.answers)
    report = write_run_report(launched, home, stages, came_out)
    console.print(f"\nReport: {report}")
    console.print(f"Done in {time.monotonic() - begun:.0f} s.", highlight=False)
    if name == "authors":
        console.print(
            "Next: the same without `--pipeline authors` writes each twin down for `twin serve`.", markup=False
        )
    if launched.twin is not None:
        console.print('Next: `twin serve` keeps the twin up, `twin ask "…"` asks it.', markup=False)


def _submit(
    recipe: Recipe,
    name: str,
    run_name: str,
    wait: bool,
    others: Sequence[Recipe] = (),
    given: Mapping[str, int] | None = None,
) -> None:
    from llm_twin.settings import KubeflowSettings
    from pipelines import kubeflow
    from pipelines.catalogue import build_pipeline, pipeline_arguments
    from pipelines.options import BuildOptions

    settings = KubeflowSettings()
    pipeline = build_pipeline(name, BuildOptions(pool=recipe.node_pool, code_from_image=True))
    run_id = kubeflow.submit(pipeline, pipeline_arguments(recipe, pipeline, others, given), settings, run_name)
    print(f"run {run_id} ({run_name}) submitted to {settings.host or 'the in-cluster API'}")
    if settings.host:
        print(f"  {settings.host.rstrip('/')}/#/runs/details/{run_id}")
    if wait:
        print(f"  {kubeflow.wait(run_id, settings, timeout_seconds=7 * 24 * 3600)}")
