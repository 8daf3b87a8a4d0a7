"""A training run in MLflow: parameters, the loss while it falls, hashes and versions, and the report.

The run's id lies beside the checkpoints, so a run that was killed and goes on writes to the same MLflow run.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from llm_twin.progress import report
from llm_twin.training.loop import TrainingResult

EXPERIMENT = "llm-twin-training"
RUN_FILE = "mlflow_run.json"


class TrackedRun:
    """One MLflow run, open until `finish`; `watch` is for loop.run_trainer."""

    def __init__(self, client: Any, run_id: str) -> None:
        self.client = client
        self.run_id = run_id

    def watch(self, trainer: Any) -> None:
        """Send every logged value to MLflow, in batches of about five seconds."""
        from mlflow.entities import Metric
        from transformers import TrainerCallback

        client, run_id = self.client, self.run_id

        class Send(TrainerCallback):
            """Collects logged values and sends them in batches."""

            def __init__(self) -> None:
                self.waiting: list[Any] = []
                self.last = time.monotonic()

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
                now = int(time.time() * 1000)
                for name, value in (logs or {}).items():
                    if isinstance(value, int | float):
                        self.waiting.append(Metric(name.replace("/", "."), float(value), now, state.global_step))
                if time.monotonic() - self.last >= 5:
                    self.send()

            def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                self.send()

            def send(self) -> None:
                for start in range(0, len(self.waiting), 1000):  # MLflow's limit for one batch
                    client.log_batch(run_id, metrics=self.waiting[start : start + 1000])
                self.waiting.clear()
                self.last = time.monotonic()

        trainer.add_callback(Send())

    def pause(self) -> None:
        """Mark the run as interrupted; the next try goes on with it."""
        self.client.update_run(self.run_id, status="FAILED")

    def finish(self, result: TrainingResult, record: dict[str, Any], page: str) -> None:
        """Log the figures, the run record (what `twin train --reproduce` reads) and the report; close the run."""
        for name, value in {**result.figures, **result.speed}.items():
            self.client.log_metric(self.run_id, f"final.{name}", float(value))
        self.client.log_dict(self.run_id, record, "training.json")
        self.client.log_text(self.run_id, page, "report.html")
        self.client.set_terminated(self.run_id)


def track_run(tracking_uri: str, name: str, work: Path, tags: dict[str, str]) -> TrackedRun:
    """Open the MLflow run of the training step whose checkpoints lie in `work`, or go on with it."""
    from llm_twin.tracing import open_experiment

    experiment = open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri)
    known = work / RUN_FILE
    if known.is_file():
        run_id = json.loads(known.read_text(encoding="utf-8"))["run_id"]
        client.update_run(run_id, status="RUNNING")
        report(f"MLflow run {run_id} goes on")
        return TrackedRun(client, run_id)
    run = client.create_run(experiment, run_name=name, tags={**tags, "commit": code_commit()})
    work.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps({"run_id": run.info.run_id}), encoding="utf-8")
    return TrackedRun(client, str(run.info.run_id))


def code_commit() -> str:
    """The commit of the running code: LLM_TWIN_COMMIT (set in images), or git's where the code is a checkout."""
    if named := os.environ.get("LLM_TWIN_COMMIT"):
        return named
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
