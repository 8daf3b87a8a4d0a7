"""Artifacts at addresses made of their content, so that equal content means a cache hit on one machine too.

kfp.local's cache key holds the addresses of input artifacts, and gives every run's outputs new ones: a step that
ran again with an identical result would rerun all that follows. A sealed artifact has the same address whenever
its content is the same.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_twin import progress
from llm_twin.digests import digest_path
from llm_twin.settings import HomeSettings


def seal(artifact: Any) -> str:
    """Give a finished output artifact (a kfp one, a file or folder) its content's address; return the digest.

    On a cluster, where an artifact's address is a bucket's, only the digest is noted in its metadata.
    """
    path = Path(artifact.path)
    digest = digest_path(path)
    if artifact.uri == artifact.path:
        target = HomeSettings().root / "artifacts" / "content" / digest / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.move(path, beside)
            beside.replace(target)
        artifact.uri = str(target)
    artifact.metadata["digest"] = digest
    return digest


def note(artifact: Any, step: str, summary: str) -> None:
    """Say in one line what a step made, now and, through the artifact's metadata, whenever it comes from the cache.

    `summary` must follow from the content alone: metadata is part of the next step's cache key.
    """
    artifact.metadata.update(step=step, summary=summary)
    progress.report(summary)


def log_figures(metrics: Any, figures: Mapping[str, float]) -> None:
    """Log `figures` to a kfp Metrics artifact, and write them to its file as JSON.

    kfp.local takes an artifact without a file for a lost one, and the step's result out of the cache with it.
    """
    for name, value in figures.items():
        metrics.log_metric(name, round(value, 6))
    Path(metrics.path).parent.mkdir(parents=True, exist_ok=True)
    Path(metrics.path).write_text(json.dumps(dict(figures), indent=2) + "\n", encoding="utf-8")
