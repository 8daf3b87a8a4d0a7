"""Datasets: instruction and preference samples in the author's own words, split without leaks, versioned."""

from llm_twin.datasets.build import BuiltDataset, build_dataset
from llm_twin.datasets.folder import write_dataset
from llm_twin.datasets.leaks import require_no_leaks
from llm_twin.datasets.manifest import read_manifest
from llm_twin.datasets.publish import publish_dataset
from llm_twin.datasets.report import render_report

__all__ = [
    "BuiltDataset",
    "build_dataset",
    "publish_dataset",
    "read_manifest",
    "render_report",
    "require_no_leaks",
    "write_dataset",
]
