"""Evaluation's figures and report into MLflow, so that releases can be compared there."""

from __future__ import annotations

import math
from pathlib import Path

from llm_twin.digests import digest_json
from llm_twin.evaluation.gate import Decision, Measures
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


def mark_champion(tracking_uri: str, scores: Scores, recipe: dict[str, object]) -> None:
    """Note on the evaluation's run that its release is the champion from now on; logs the run if it is missing."""
    from datetime import UTC, datetime

    run_id = log_scores(tracking_uri, scores, recipe, None)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri)
    if "champion_since" not in client.get_run(run_id).data.tags:
        client.set_tag(run_id, "champion_since", datetime.now(UTC).isoformat())


def champion_measures(tracking_uri: str, author: str) -> Measures | None:
    """The measures of the release that last became champion; None where there is none."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.artifacts import load_dict
    from mlflow.tracking import MlflowClient

    runs = MlflowClient(tracking_uri=tracking_uri).search_runs(
        [experiment_id], f"tags.author = '{author}' AND tags.champion_since != ''", max_results=1000
    )
    if not runs:
        return None
    last = max(runs, key=lambda run: run.data.tags["champion_since"])
    return Scores.model_validate(load_dict(f"{last.info.artifact_uri}/scores.json")).measures


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


def record_decision(tracking_uri: str, author: str, decision: Decision) -> None:
    """Put a decision on the author's newest evaluation run, and that its release is champion if it is."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from datetime import UTC, datetime

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri)
    runs = client.search_runs(
        [experiment_id],
        f"tags.author = '{author}' AND status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    for run in runs:
        now = datetime.now(UTC).isoformat()
        client.log_dict(run.info.run_id, decision.model_dump(mode="json"), f"decisions/{now.replace(':', '-')}.json")
        if decision.promote:
            client.set_tag(run.info.run_id, "champion_since", now)
        if decision.override is not None:
            client.set_tag(run.info.run_id, "overridden_by", decision.override.by)
