"""Builds that several tests look at; each is made once a session."""

from __future__ import annotations

import copy
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.manifest_rules.build import build, find_kustomize, write_combination
from tests.manifest_rules.schemas import Schemas

_SCRATCH = tempfile.TemporaryDirectory()


@functools.cache
def _command() -> tuple[str, ...] | None:
    found = find_kustomize()
    return tuple(found) if found else None


@functools.cache
def _built(overlay: str, chosen: tuple[str, ...]) -> list[dict[str, Any]]:
    return build(write_combination(overlay, chosen, Path(_SCRATCH.name)), list(_command() or ()))


def build_overlay(overlay: str, *chosen: str) -> list[dict[str, Any]]:
    """A fresh copy of the overlay's objects with these options; skips the test without kustomize 5."""
    if _command() is None:
        pytest.skip("no kustomize of version 5: scripts/install_kustomize.sh")
    return copy.deepcopy(_built(overlay, chosen))


@functools.cache
def _schemas(folder: str) -> Schemas:
    return Schemas(Path(folder))


def custom_schemas() -> Schemas:
    """Schemas with the CRDs; skips the test where there are none."""
    folder = os.environ.get("LLM_TWIN_CRDS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no CRDs: set LLM_TWIN_CRDS to a folder of them")
    return _schemas(folder)


def find(things: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of that kind and name."""
    return next(t for t in things if t["kind"] == kind and t["metadata"]["name"] == name)
