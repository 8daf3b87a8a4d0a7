"""One training step on several nodes: data to a shared volume, a TrainJob, its result back into the step's artifacts.

The folder on the volume is named for what is trained on what, so a step that is retried finds data, job, checkpoints
and result where the first try left them.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_json, digest_path
from llm_twin.errors import ServiceError
from llm_twin.recipe_training import NodePool, TrainingRecipe
from llm_twin.training.loop import TrainingResult
from llm_twin.training.samples import training_author
from llm_twin.training.trainjob import SHARED, build_trainjob, run_trainjob

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
RESULT = "result.json"


def own_namespace() -> str:
    """The namespace of the pod that this runs in."""
    return POD_NAMESPACE.read_text(encoding="utf-8").strip() if POD_NAMESPACE.is_file() else "default"


def train_on_nodes(
    api: Any,
    step: str,
    inputs: dict[str, Path],
    recipe: TrainingRecipe,
    pool: NodePool,
    namespace: str,
    image: str,
    trained: Path,
    report: Path,
    tracking_uri: str = "",
    code: str = "",
    shared: Path = Path(SHARED),
) -> TrainingResult:
    """Run `step` (sft or dpo) on `inputs` (base, samples, and for DPO adapter) as a TrainJob of `pool`'s nodes.

    `api` is a kubernetes ApiClient. Raises as run_trainjob does, and ServiceError when the job left no result.
    """
    author = training_author(inputs["samples"])
    digests = {name: digest_path(path) for name, path in sorted(inputs.items())}
    place = shared / author / digest_json([step, digests, recipe.model_dump(mode="json"), code])
    for name, path in inputs.items():
        _put(path, place / name)
    (place / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    arguments = ["--step", step, "--recipe", f"@{place}/recipe.json", "--place", str(place), "--code", code]
    arguments += ["--tracking-uri", tracking_uri] if tracking_uri else []
    run_trainjob(api, build_trainjob(author, namespace, image, arguments, pool, {}))
    if not (place / RESULT).is_file():
        raise ServiceError(
            f"the TrainJob ended but left no result under {place}", "is the volume ReadWriteMany? See the job's log"
        )
    result = TrainingResult(**json.loads((place / RESULT).read_text(encoding="utf-8")))
    _put(place / "trained", trained)
    report.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(place / "report.html", report)
    shutil.rmtree(place)
    return result


def write_result(result: TrainingResult, place: Path) -> None:
    """Leave the result for the step that waits: the last file that a job writes."""
    beside = place / f".{RESULT}"
    beside.write_text(json.dumps(dataclasses.asdict(result)), encoding="utf-8")
    beside.replace(place / RESULT)


def _put(source: Path, target: Path) -> None:
    """Copy a folder beside its place and move it there; one that is there already is left."""
    if target.exists():
        return
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, beside)
    beside.replace(target)
