"""After a build: number the data set in the store, and note it in MLflow."""

from __future__ import annotations

import subprocess
from pathlib import Path

from llm_twin.datasets.mlflow_log import log_version
from llm_twin.datasets.versions import DatasetVersion, publish_version
from llm_twin.progress import report


def publish_dataset(folder: Path, store: Path, tracking_uri: str = "") -> DatasetVersion:
    """Put `folder` into the version store and, with a tracking URI, into MLflow; returns the version."""
    version = publish_version(folder, store, find_commit())
    if tracking_uri:
        log_version(tracking_uri, version, folder)
    report(f"datasets: {version.name} {version.version}, content {version.content[:12]}")
    return version


def find_commit() -> str:
    """The commit of the repository that this code lies in; empty for an installed package."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
