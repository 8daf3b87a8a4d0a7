"""A data set's version into MLflow: figures, manifest and card, once for each content."""

from __future__ import annotations

import json
from pathlib import Path

from llm_twin.datasets.versions import DatasetVersion
from llm_twin.tracing import open_experiment

EXPERIMENT = "llm-twin-datasets"


def log_version(tracking_uri: str, version: DatasetVersion, folder: Path) -> str:
    """Log a version as a run and return its id; the same content again gives the same run. The texts stay home."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri)
    earlier = client.search_runs([experiment_id], f"tags.content = '{version.content}' AND status = 'FINISHED'")
    if earlier:
        return str(earlier[0].info.run_id)
    tags = {"content": version.content, "folder_digest": version.folder_digest, "name": version.name}
    run = client.create_run(experiment_id, run_name=f"{version.name} {version.version}", tags=tags)
    run_id = str(run.info.run_id)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for what in ("documents", "instructions", "preferences"):
        for split, count in manifest["counts"][what].items():
            client.log_metric(run_id, f"{split}_{what}", count)
    client.log_metric(run_id, "leaked_samples", manifest["leaks"]["leaked"])
    for key in ("seed", "split_by", "min_output_words", "max_output_words", "instructions_from", "rejected_from"):
        client.log_param(run_id, key, manifest["recipe"][key])
    client.log_param(run_id, "version", version.version)
    for name in ("manifest.json", "README.md"):
        client.log_artifact(run_id, str(folder / name))
    client.set_terminated(run_id)
    return run_id
