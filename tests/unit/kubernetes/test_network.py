"""What may talk to what, computed from the policies of a build as a cluster would: exactly the ways that data flows."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.manifest_rules.cluster import Cluster, Pod, matches
from tests.unit.kubernetes.builds import build_overlay

STEP = Pod("pipeline step", "", {"pipelines.kubeflow.org/v2_component": "true"}, {"containers": []})
PORTS = {"mongodb": 27017, "qdrant": 6333, "postgres": 5432, "mlflow": 5000, "object-storage": 8333}
EXPECTED = {
    "transformer": {"predictor", "qdrant", "mlflow"},
    "predictor": {"object-storage"},
    "mlflow": {"postgres", "object-storage"},
    "mongodb": {"mongodb"},
    "pipeline step": {"mongodb", "qdrant", "mlflow", "object-storage", "transformer"},
    "sample-author": {"mongodb", "qdrant", "mlflow"},
    "backup-mongodb": {"mongodb", "object-storage"},
    "backup-postgres": {"postgres", "object-storage"},
    "backup-qdrant": {"qdrant", "object-storage"},
}


def name_of(pod: Pod) -> str:
    return pod.owner.split()[-1].split("/")[-1] if pod is not STEP else pod.owner


def allows(policies: list[dict[str, Any]], pod: Pod, peer: Pod, port: int, direction: str) -> bool:
    """Whether some policy that selects `pod` lets it receive from (send to) `peer` on `port`."""
    side = "from" if direction == "ingress" else "to"
    for policy in policies:
        spec = policy["spec"]
        if not matches(spec.get("podSelector"), pod.labels) or direction.capitalize() not in spec["policyTypes"]:
            continue
        for rule in spec.get(direction) or []:
            peers = rule.get(side)
            reached = peers is None or any(
                "podSelector" in p and "namespaceSelector" not in p and matches(p["podSelector"], peer.labels)
                for p in peers
            )
            if reached and (not rule.get("ports") or any(p["port"] == port for p in rule["ports"])):
                return True
    return False


def flows(overlay: str, *chosen: str) -> dict[str, set[str]]:
    cluster = Cluster(build_overlay(overlay, *chosen))
    policies = list(cluster.all("NetworkPolicy"))
    pods = [*cluster.pods, STEP]
    found: dict[str, set[str]] = {}
    for sender in pods:
        for receiver in cluster.pods:
            port = PORTS.get(name_of(receiver), 8080)
            if port in receiver.ports().values() and (
                allows(policies, sender, receiver, port, "egress")
                and allows(policies, receiver, sender, port, "ingress")
            ):
                found.setdefault(name_of(sender), set()).add(name_of(receiver))
    return found


def test_data_flows_where_it_should_and_nowhere_else() -> None:
    assert flows("dev") == EXPECTED


def test_a_canary_s_pods_have_the_same_ways() -> None:
    cluster = Cluster(build_overlay("prod", "canary"))
    policies = list(cluster.all("NetworkPolicy"))
    canary = {name_of(p): p for p in cluster.pods if p.owner.startswith("InferenceService/twin-canary")}
    assert allows(policies, canary["transformer"], canary["predictor"], 8080, "egress")
    assert allows(policies, canary["predictor"], canary["transformer"], 8080, "ingress")


def is_on_the_node(peer: dict[str, Any]) -> bool:
    return ip_network(peer["ipBlock"]["cidr"]).is_link_local


def test_every_pod_may_ask_for_names_in_the_cluster_and_on_its_node() -> None:
    policy = Cluster(build_overlay("dev")).get("NetworkPolicy", "allow-dns")
    assert policy and policy["spec"]["podSelector"] == {}
    (rule,) = policy["spec"]["egress"]
    assert {(port["port"], port["protocol"]) for port in rule["ports"]} == {(53, "UDP"), (53, "TCP")}
    servers, local = rule["to"]
    assert servers["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert is_on_the_node(local) and ip_network(local["ipBlock"]["cidr"]).num_addresses == 1


def test_nothing_but_loaders_and_steps_reaches_the_internet() -> None:
    cluster = Cluster(build_overlay("dev", "cpu"))
    open_to_world = {
        policy["metadata"]["name"]
        for policy in cluster.all("NetworkPolicy")
        for rule in policy["spec"].get("egress") or []
        if "to" not in rule or any("ipBlock" in peer and not is_on_the_node(peer) for peer in rule["to"])
    }
    assert open_to_world == {"predictor", "backup", "pipeline-steps", "generate-secrets"}
