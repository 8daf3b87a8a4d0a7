"""Opening an MLflow experiment so that several processes may do it at once.

MLflow creates a SQLite file's tables at first contact, without a lock, and puts artifacts under the current
folder unless told otherwise. Here the first contact is made under a file lock, and artifacts lie beside the
database.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_twin.errors import StoreError

SQLITE = "sqlite:///"


def open_experiment(tracking_uri: str, name: str) -> str:
    """Point MLflow at `tracking_uri`, make the experiment if it is missing, and return its id.

    Sends no telemetry. Raises StoreError when the server or file cannot be reached.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    for noisy in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        with _first_contact(tracking_uri):
            mlflow.set_tracking_uri(tracking_uri)
            client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
            found = client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            return str(client.create_experiment(name, artifact_location=_artifact_location(tracking_uri, name)))
    except (MlflowException, OSError) as error:
        raise StoreError(
            f"cannot open the experiment {name!r} at {tracking_uri}: {error}",
            "check LLM_TWIN_MLFLOW_TRACKING_URI, or that the folder of the database can be written",
        ) from error


def _artifact_location(tracking_uri: str, name: str) -> str | None:
    """A folder beside a SQLite database; None lets a server decide."""
    if not tracking_uri.startswith(SQLITE):
        return None
    folder = Path(tracking_uri.removeprefix(SQLITE)).absolute().parent / "artifacts" / name
    return folder.as_uri()


@contextmanager
def _first_contact(tracking_uri: str) -> Iterator[None]:
    if not tracking_uri.startswith(SQLITE):
        yield
        return
    database = Path(tracking_uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
