"""Which components go together, and that those built apart from the mixes change nothing that others change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.manifest_rules.build import APART, OPTIONS, OVERLAYS, combinations, is_allowed, listed_components
from tests.unit.kubernetes.builds import build_overlay


def _flatten(value: Any, path: str, into: dict[str, str]) -> None:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            _flatten(child, f"{path}/{key}", into)
    else:
        into[path] = json.dumps(value, sort_keys=True)


def leaves(things: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for thing in things:
        _flatten(thing, f"{thing['kind']}/{thing['metadata']['name']}", found)
    return found


def footprint(overlay: str, beside: tuple[str, ...], option: str) -> set[str]:
    """Paths that the option adds, changes or removes."""
    order = [name for name in OPTIONS if name in {*beside, option}]
    before, after = leaves(build_overlay(overlay, *beside)), leaves(build_overlay(overlay, *order))
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


# What an option needs or meets beside it, on the overlay that has the fewest of its own.
BESIDE = {"tls": ("gateway",), "canary": ("gateway",), "shadow": ("gateway",)}
KNATIVE = ("knative", "scale-to-zero", "canary-knative")


@pytest.mark.parametrize("apart", sorted(APART - {"single-node"}))
def test_what_is_built_apart_changes_nothing_that_others_change(apart: str) -> None:
    own = footprint("dev", (), apart)
    assert own
    for other in OPTIONS:
        if other in {apart, *KNATIVE} or other == "single-node":
            continue
        theirs = footprint("dev", BESIDE.get(other, ()), other)
        touched = {(a, b) for a in own for b in theirs if a == b or a.startswith(f"{b}/") or b.startswith(f"{a}/")}
        pair_allowed = is_allowed({*listed_components("dev"), *BESIDE.get(other, ()), other, apart})
        assert not touched or not pair_allowed, f"{apart} and {other} both change {sorted(touched)[:3]}"


def test_wrong_pairs_are_refused() -> None:
    assert not is_allowed({"canary", "gateway", "knative"})  # weights where Knative serves
    assert not is_allowed({"canary-knative"})  # a percentage where plain Deployments serve
    assert not is_allowed({"cpu", "vllm"})
    assert not is_allowed({"tls"})
    assert is_allowed({"canary", "gateway", "tls", "vllm"})


def test_every_option_is_in_some_combination_of_dev() -> None:
    reached = {name for chosen in combinations("dev") for name in chosen}
    assert reached | set(listed_components("dev")) >= set(OPTIONS)
    assert len(combinations("dev")) == len(set(combinations("dev")))


def test_release_is_listed_first_so_that_others_copy_its_images() -> None:
    for overlay in OVERLAYS:
        assert listed_components(overlay)[0] == "release"
