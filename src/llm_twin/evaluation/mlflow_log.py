"""Evaluation's figures and report into MLflow, so that releases can be compared there."""

from __future__ import annotations

import math
from pathlib import Path

from llm_twin.digests import digest_json
from llm_twin.evaluation.scores import Scores
from llm_twin.tracing import open_experiment

EXPERIMENT = "llm-twin-evaluation"


def log_scores(tracking_uri: str, scores: Scores, recipe: dict[str, object], report: Path | None) -> str:
    """Log one evaluation as a run and return its id. The same scores again give the same run."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    digest = digest_json([scores.model_dump(mode="json"), recipe])
    client = MlflowClient(tracking_uri=tracking_uri)
    earlier = client.search_runs([experiment_id], f"tags.scores_digest = '{digest}' AND status = 'FINISHED'")
    if earlier:
        return str(earlier[0].info.run_id)
    run = client.create_run(experiment_id, run_name=scores.author, tags={"author": scores.author})
    run_id = str(run.info.run_id)
    for name, value in scores.headline().items():
        if math.isfinite(value):
            client.log_metric(run_id, name, value)
    client.log_param(run_id, "index", scores.index)
    client.log_param(run_id, "samples", scores.samples)
    client.log_dict(run_id, scores.model_dump(mode="json"), "scores.json")
    if report is not None:
        client.log_artifact(run_id, str(report))
    client.set_tag(run_id, "scores_digest", digest)
    client.set_terminated(run_id)
    return run_id


def latest_scores(tracking_uri: str, author: str) -> Scores | None:
    """The author's newest logged evaluation; None where there is none."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.artifacts import load_dict
    from mlflow.tracking import MlflowClient

    runs = MlflowClient(tracking_uri=tracking_uri).search_runs(
        [experiment_id],
        f"tags.author = '{author}' AND status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    if not runs:
        return None
    return Scores.model_validate(load_dict(f"{runs[0].info.artifact_uri}/scores.json"))
