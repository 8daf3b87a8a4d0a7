"""Evaluation's figures and report into MLflow, so that releases can be compared there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_json
from llm_twin.evaluation.gate import Decision, Measures
from llm_twin.evaluation.scores import Scores
from llm_twin.tracing import open_experiment

EXPERIMENT = "llm-twin-evaluation"
MAX_TAG = 4000  # characters that MLflow keeps of a tag


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


def champion_measures(tracking_uri: str, author: str) -> Measures | None:
    """The measures of the release that last became champion; None where there is none."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.artifacts import load_dict
    from mlflow.tracking import MlflowClient

    last = _champion_run(MlflowClient(tracking_uri=tracking_uri), experiment_id, author)
    return None if last is None else Scores.model_validate(load_dict(f"{last.info.artifact_uri}/scores.json")).measures


def _champion_run(client: Any, experiment_id: str, author: str) -> Any:
    runs = client.search_runs(
        [experiment_id], f"tags.author = '{author}' AND tags.champion_since != ''", max_results=1000
    )
    return max(runs, key=lambda run: run.data.tags["champion_since"]) if runs else None


def latest_run(tracking_uri: str, author: str) -> str:
    """The id of the author's newest logged evaluation; empty where there is none."""
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    runs = MlflowClient(tracking_uri=tracking_uri).search_runs(
        [experiment_id],
        f"tags.author = '{author}' AND status = 'FINISHED'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return str(runs[0].info.run_id) if runs else ""


def latest_scores(tracking_uri: str, author: str) -> Scores | None:
    """The scores of the author's newest logged evaluation; None where there is none."""
    run_id = latest_run(tracking_uri, author)
    if not run_id:
        return None
    from mlflow.artifacts import load_dict
    from mlflow.tracking import MlflowClient

    run = MlflowClient(tracking_uri=tracking_uri).get_run(run_id)
    return Scores.model_validate(load_dict(f"{run.info.artifact_uri}/scores.json"))


def record_decision(tracking_uri: str, author: str, run_id: str, decision: Decision) -> None:
    """Put a decision on an evaluation's run: tags for the runs' table, the whole as decisions/TIME.json.

    Tags: gate (promoted or refused), gate_mode, gate_reasons, champion_since, overridden_by and override_reason. The
    same decision again adds nothing.
    """
    experiment_id = open_experiment(tracking_uri, EXPERIMENT)
    from datetime import UTC, datetime

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri)
    content, now = decision.model_dump(mode="json"), datetime.now(UTC).isoformat()
    digest = digest_json(content)
    if client.get_run(run_id).data.tags.get("gate_digest") != digest:
        client.log_dict(run_id, content, f"decisions/{now.replace(':', '-')}.json")
    tags = {
        "gate": "promoted" if decision.promote else "refused",
        "gate_mode": decision.mode,
        "gate_reasons": "; ".join(decision.reasons)[:MAX_TAG] or "none",
        "gate_digest": digest,
    }
    if decision.override is not None:
        tags |= {"overridden_by": decision.override.by[:MAX_TAG], "override_reason": decision.override.reason[:MAX_TAG]}
    champion = _champion_run(client, experiment_id, author)
    if decision.promote and (champion is None or champion.info.run_id != run_id):
        tags["champion_since"] = now
    for name, value in tags.items():
        client.set_tag(run_id, name, value)
    if decision.override is not None and not decision.promote and champion and champion.info.run_id == run_id:
        client.delete_tag(run_id, "champion_since")
