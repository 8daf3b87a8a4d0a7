"""`twin batch --shards`: the pipeline `batch` on this machine or on Kubeflow, and its answers brought home."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_path
from llm_twin.errors import InputError
from llm_twin.local.home import Home, exclusive
from llm_twin.operations.objects import read_object, write_object
from llm_twin.recipe_training import NodePool
from llm_twin.settings import BatchSettings, KubeflowSettings
from pipelines import batch, kubeflow
from pipelines.launch import QUIET
from pipelines.local_run import Listener, RunResult, run_local
from pipelines.options import BuildOptions


def run_here(
    source: Path, target: Path, url: str, api_key: str, home: Home, listen: Listener, **chosen: Any
) -> RunResult:
    """Run the pipeline on this machine against the server at `url`; `chosen` are its shards, model and parallel.

    Raises StepFailed; run again, the shards that were answered come from the cache.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    os.environ["LLM_TWIN_SERVING_URL"], os.environ["LLM_TWIN_SERVING_KEY"] = url, api_key
    log = home.logs / f"batch-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    with exclusive(home, "run", "wait until it has ended"):
        pipeline = batch.build(BuildOptions())
        arguments = {"source": str(source.absolute()), **chosen}
        result = run_local(pipeline, arguments, home.artifacts, home.cache, log, listen)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(result.outputs["answers"].uri, target)
    return result


def submit(source: str, target: str, settings: KubeflowSettings, run_name: str, **chosen: Any) -> tuple[str, str]:
    """Start the pipeline on Kubeflow; returns the run's id and where its answers will be.

    Local files go through LLM_TWIN_BATCH_URI, under a name made of the questions. Raises InputError, StoreError.
    """
    there = {"source": source, "target": target}
    for name, place in there.items():
        if not place.startswith("s3://"):
            prefix = BatchSettings().uri.rstrip("/")
            if not prefix:
                raise InputError(
                    f"the cluster cannot reach {place}", "set LLM_TWIN_BATCH_URI to s3://bucket/prefix, or give s3://…"
                )
            there[name] = f"{prefix}/{digest_path(Path(source))}/{name}.jsonl" if name == "source" else ""
    if not source.startswith("s3://"):
        write_object(there["source"], Path(source).read_bytes())
    there["target"] = there["target"] or there["source"].rsplit("/", 1)[0] + "/answers.jsonl"
    pipeline = batch.build(BuildOptions(pool=NodePool(), code_from_image=True))
    return kubeflow.submit(pipeline, {**there, **chosen}, settings, run_name), there["target"]


def bring_home(place: str, target: Path) -> None:
    """Copy a run's answers to this machine. Raises StoreError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(read_object(place))
