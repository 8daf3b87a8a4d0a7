"""Every overlay, taken by a real API server: LLM_TWIN_TEST_KUBECONFIG names one with nothing on it that matters.

A bare kube-apiserver with etcd is enough; with KServe's controller there, its webhooks have their say too. CRDs that
the server lacks are installed from LLM_TWIN_CRDS. KUBECTL names another kubectl.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.manifest_rules.server import ApiServer
from tests.unit.kubernetes.builds import build_overlay

KUBECONFIG = os.environ.get("LLM_TWIN_TEST_KUBECONFIG", "")
pytestmark = [
    pytest.mark.skipif(not KUBECONFIG, reason="no API server: set LLM_TWIN_TEST_KUBECONFIG to an empty cluster's"),
    pytest.mark.timeout(900),
]
# The overlays as they are, and the mixes that between them hold every component.
MIXES = [
    ("dev",),
    ("dev", "cpu"),
    ("staging",),
    ("prod",),
    ("dev", "gateway", "canary", "vllm", "autoscaling", "spot-gpu", "kueue", "monitoring", "model-cache"),
    ("dev", "gateway", "tls", "shadow", "autoscaling"),
    ("dev", "knative", "scale-to-zero", "canary-knative", "vllm"),
    ("dev", "adapters"),
]


@pytest.fixture(scope="module")
def server() -> ApiServer:
    found = ApiServer(KUBECONFIG, os.environ.get("KUBECTL", "kubectl"))
    crds = os.environ.get("LLM_TWIN_CRDS", "")
    if not crds:
        pytest.skip("no CRDs: set LLM_TWIN_CRDS to a folder of them")
    assert found.install_crds(Path(crds)) == []
    return found


@pytest.fixture
def apply(server: ApiServer) -> Iterator[Any]:
    """Applies, and takes away at the end what was applied. Refuses a namespace that was there before."""
    applied: list[dict[str, Any]] = []

    def do(objects: list[dict[str, Any]], *options: str) -> list[str]:
        if not applied:
            mine = {thing["metadata"]["name"] for thing in objects if thing["kind"] == "Namespace"}
            assert not mine & server.namespaces(), f"{KUBECONFIG} has {mine} already: this test wants an empty cluster"
            applied.extend(objects)
        return server.apply(objects, *options)

    yield do
    server.delete(applied)
    server.forget_namespaces({thing["metadata"]["name"] for thing in applied if thing["kind"] == "Namespace"})


@pytest.mark.parametrize("mix", MIXES, ids="-".join)
def test_the_server_takes_it_whole_and_a_second_time_changes_nothing(
    server: ApiServer, apply: Any, mix: tuple[str, ...]
) -> None:
    objects = build_overlay(*mix)
    assert apply(objects) == []  # client side, as `kubectl apply -k` does: annotations have a limit
    assert server.dropped_from(objects) == []
    assert server.changed_by(objects) == []
    assert server.apply(objects, "--server-side", "--force-conflicts") == []
    assert server.changed_by(objects) == []


@pytest.mark.parametrize("mix", [("dev", "cpu")], ids="-".join)
def test_server_side_alone(server: ApiServer, apply: Any, mix: tuple[str, ...]) -> None:
    objects = build_overlay(*mix)
    for _ in range(2):
        assert apply(objects, "--server-side") == []
    assert server.dropped_from(objects) == []


def test_it_refuses_what_only_a_server_sees(server: ApiServer, apply: Any) -> None:
    """The test of the test: the same route reports what a server refuses."""
    objects = build_overlay("dev")
    assert apply(objects) == []
    claims = next(t for t in objects if t["kind"] == "StatefulSet" and t["metadata"]["name"] == "qdrant")
    claims["spec"]["serviceName"] = "elsewhere"  # immutable
    assert any("Forbidden" in line or "forbidden" in line for line in server.apply([claims]))
