"""Run a recipe on this machine: services up, pipeline through kfp.local, then a record of the twin and a report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_twin.documents import Answer, read_jsonl
from llm_twin.errors import InputError
from llm_twin.local.home import Home, exclusive
from llm_twin.local.report import write_report
from llm_twin.local.services import local_services
from llm_twin.recipes import Recipe, SourceRecipe, load_sources, select_author
from llm_twin.sample import site
from llm_twin.settings import HubSettings
from llm_twin.training.base import check_base
from pipelines.catalogue import build_pipeline, pipeline_arguments
from pipelines.local_run import Listener, RunResult, run_local
from pipelines.options import BuildOptions

QUIET = {
    "RAGAS_DO_NOT_TRACK": "true",  # nothing phones home
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",  # progress appears when it happens
}
SAMPLE_SCHEME = "sample:"
MODELS = {"base": "base", "adapter": "dpo", "sft": "sft"}  # in a twin's record → in a run's outputs
KEPT = ("merged", "quantized", "documents", "chunks", "samples", "scores", "answers", "drift")


@dataclass(frozen=True)
class Launched:
    """A finished run of one author's recipe."""

    recipe: Recipe
    run: RunResult
    answers: list[Answer]
    reports: dict[str, Path] = field(default_factory=dict)  # title → HTML file of a stage
    twin: Path | None = None  # the record that `twin serve` reads


def launch(
    recipe: Recipe,
    home: Home,
    listen: Listener,
    pipeline_name: str = "twin",
    sample_data: Path | None = None,
    others: Sequence[Recipe] = (),
    given: Mapping[str, Any] | None = None,
) -> Launched:
    """Run `recipe` through `pipeline_name`; raises StepFailed, ServiceError, InputError.

    `others` are the further authors' recipes of a pipeline over many authors; `given`, parameters that no recipe has.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    log = home.logs / f"run-{stamp}-{recipe.author.id}.log"
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    find_quantize_python()
    pipeline = build_pipeline(pipeline_name, BuildOptions())
    if "training" in pipeline.component_spec.inputs:
        token = HubSettings().token
        check_base(recipe.training, token.get_secret_value() if token else None)
    with ExitStack() as stack:
        stack.enter_context(exclusive(home, "run", "wait until it has ended"))
        stack.enter_context(exclusive(home, "use", "wait until the backup has ended", shared=True))
        stack.enter_context(local_services(home))
        recipe = stack.enter_context(sample_sites(recipe, sample_data))
        others = [stack.enter_context(sample_sites(other, sample_data)) for other in others]
        arguments = pipeline_arguments(recipe, pipeline, others, given)  # the sources are known by now
        result = run_local(pipeline, arguments, home.artifacts, home.cache, log, listen)
    answers = read_answers(result.outputs)
    reports = {
        name: Path(artifact.uri)
        for name, artifact in result.outputs.items()
        if getattr(artifact, "schema_title", "") == "system.HTML"
    }
    twin = None
    if "answers" in result.outputs and "index" in result.outputs:
        twin = _record_twin(recipe, result.outputs, home)
    return Launched(recipe, result, answers, reports, twin)


def find_quantize_python() -> None:
    """Point LLM_TWIN_QUANTIZE_PYTHON at the environment that `make install` makes, where nothing else is set."""
    beside = Path(__file__).parent.parent / ".venv-quantize" / "bin" / "python"
    if beside.is_file():
        os.environ.setdefault("LLM_TWIN_QUANTIZE_PYTHON", str(beside))


def with_sources_file(recipe: Recipe) -> list[Recipe]:
    """One recipe for each author of the recipe's sources file; without one, the recipe itself."""
    if not recipe.collection.sources_file:
        return [recipe]
    return [select_author(recipe, author) for author in load_sources(Path(recipe.collection.sources_file))]


@contextmanager
def sample_sites(recipe: Recipe, data: Path | None = None) -> Iterator[Recipe]:
    """Resolve `sample:` locations, and serve the sample author's sites on loopback if the recipe asks for them."""
    folder = data or Path(site.__file__).parent / "data"
    sources = [_resolve_sample(source, folder) for source in recipe.collection.sources]
    hosts = {urlsplit(source.location).hostname or "" for source in sources}
    collection = recipe.collection.model_copy(update={"sources": sources})
    asked = hosts & set(site.SITES)
    if not asked:
        yield recipe.model_copy(update={"collection": collection})
        return
    with site.serve(folder) as url:
        connect_to = {**dict.fromkeys(sorted(asked), url), **recipe.collection.connect_to}
        yield recipe.model_copy(update={"collection": collection.model_copy(update={"connect_to": connect_to})})


def _resolve_sample(source: SourceRecipe, folder: Path) -> SourceRecipe:
    if not source.location.startswith(SAMPLE_SCHEME):
        return source
    path = folder / source.location.removeprefix(SAMPLE_SCHEME)
    if not path.exists():
        known = ", ".join(sorted(entry.name for entry in folder.iterdir()))
        raise InputError(f"no sample data {source.location!r}", f"there are: {known}")
    return source.model_copy(update={"location": str(path)})


def read_answers(outputs: dict[str, Any]) -> list[Answer]:
    """The answers that a run's serving step wrote; none for a run without serving."""
    return list(read_jsonl(outputs["answers"].uri, Answer)) if "answers" in outputs else []


def _record_twin(recipe: Recipe, outputs: dict[str, Any], home: Home) -> Path:
    """Write down, for `twin serve` and `twin ask`, where this author's models and index are."""
    record = {
        "author": recipe.author.model_dump(mode="json"),
        # without a model of one's own (pipeline `endpoint`) there is no more than documents, index and answers
        **{name: outputs[made].uri for name, made in MODELS.items() if made in outputs},
        **{name: outputs[name].uri for name in KEPT if name in outputs},
        "index": outputs["index"],
        "release": outputs.get("release", ""),
        "features": recipe.features.model_dump(mode="json"),
        "serving": recipe.serving.model_dump(mode="json"),
    }
    target = home.twins / f"{recipe.author.id}.json"
    beside = target.with_suffix(".part")
    beside.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(target)
    return target


def describe_outputs(launched: Launched) -> dict[str, str]:
    """What each step made, as its output's metadata says: for steps that came from the cache."""
    return {
        str(artifact.metadata["step"]): str(artifact.metadata["summary"])
        for artifact in launched.run.outputs.values()
        if "summary" in getattr(artifact, "metadata", {})
    }


def write_run_report(launched: Launched, home: Home, stages: dict[str, str], came_out: dict[str, str]) -> Path:
    """The run's HTML report under the home folder; returns its path."""
    steps = [
        {
            "stage": stages.get(step.name, ""),
            "name": step.name.replace("-", " "),
            "seconds": step.seconds,
            "status": step.status,
            "made": step.last_progress or came_out.get(step.name, ""),
        }
        for step in launched.run.steps
    ]
    title = f"{launched.recipe.author.name}: recipe {launched.recipe.name}"
    folder = home.reports / launched.run.log.stem
    return write_report(folder, title, steps, launched.answers, launched.reports)
