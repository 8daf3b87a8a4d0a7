"""What the test against a real API server calls lost, without one: the same comparison over two objects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manifest_rules.server import _lost

CONTAINERS = [{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "b:1"}]
SENT = {"spec": {"containers": CONTAINERS, "args": ["--x", "--y"], "cpu": "0.5", "period": "60m"}}


def kept(**changed: Any) -> dict[str, Any]:
    return {"spec": {**SENT["spec"], **changed}, "status": {}}


@pytest.mark.parametrize(
    "found",
    [
        kept(),
        kept(containers=[{"name": "injected", "image": "c:1"}, *reversed(CONTAINERS)]),  # a webhook's sidecar
        kept(cpu="500m", period="1h0m0s"),
        kept(containers=[{**CONTAINERS[0], "imagePullPolicy": "IfNotPresent"}, CONTAINERS[1]]),  # a default
    ],
)
def test_what_a_server_may_do(found: dict[str, Any]) -> None:
    assert _lost(SENT, found, "o") == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (kept(containers=CONTAINERS[:1]), "o.spec.containers[name=b]: dropped"),
        (kept(containers=[{**CONTAINERS[0], "image": "z:1"}, CONTAINERS[1]]), "'a:1' became 'z:1'"),
        (kept(containers=[{"name": "a", "image": "a:1"}, CONTAINERS[1]]), "[name=a].ports: dropped"),
        (kept(args=["--x"]), "o.spec.args[1]: dropped"),
        (kept(args=["--y", "--x"]), "'--x' became '--y'"),
        (kept(args="--x"), "a list became"),
        (kept(cpu="501m"), "'0.5' became '501m'"),
        (kept(period="59m"), "'60m' became '59m'"),
        ({"spec": {}}, "o.spec.containers: dropped"),
    ],
)
def test_what_it_may_not(found: dict[str, Any], problem: str) -> None:
    assert any(problem in line for line in _lost(SENT, found, "o"))
