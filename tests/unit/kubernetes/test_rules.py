"""Each rule catches what it is there for: a good build is broken in one place, and the checker says where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.manifest_rules.check import check
from tests.manifest_rules.rules_cluster import cron_problem
from tests.manifest_rules.rules_pods import parse_quantity
from tests.unit.kubernetes.builds import build_overlay, custom_schemas, find

Things = list[dict[str, Any]]


def container(things: Things, kind: str = "Deployment", name: str = "mlflow", number: int = 0) -> dict[str, Any]:
    return find(things, kind, name)["spec"]["template"]["spec"]["containers"][number]


def transformer(things: Things) -> dict[str, Any]:
    return find(things, "InferenceService", "twin")["spec"]["transformer"]


def drop(things: Things, kind: str, name: str) -> None:
    things.remove(find(things, kind, name))


def set_in(target: dict[str, Any], key: str, value: Any) -> None:
    target[key] = value


BREAKS: dict[str, tuple[Callable[[Things], Any], str]] = {
    "unknown field": (lambda t: set_in(find(t, "Service", "qdrant")["spec"], "portz", []), "portz"),
    "unknown field of a custom kind": (lambda t: set_in(transformer(t), "minReplica", 1), "minReplica"),
    "wrong type of a custom kind": (lambda t: set_in(transformer(t), "minReplicas", "two"), "minReplicas"),
    "unknown kind": (
        lambda t: t.append({"apiVersion": "example.com/v1", "kind": "Wish", "metadata": {"name": "x"}}),
        "no schema for example.com/v1 Wish",
    ),
    "selector": (
        lambda t: set_in(find(t, "Deployment", "mlflow")["spec"]["selector"], "matchLabels", {"a": "b"}),
        "does not match its own pods",
    ),
    "service without pods": (
        lambda t: set_in(find(t, "Service", "qdrant")["spec"], "selector", {"a": "b"}),
        "Service/qdrant: selects no pod",
    ),
    "service's target port": (
        lambda t: set_in(find(t, "Service", "qdrant")["spec"]["ports"][0], "targetPort", "grpc"),
        "has no port grpc",
    ),
    "request over limit": (
        lambda t: set_in(container(t)["resources"]["requests"], "memory", "9Gi"),
        "more than its limit",
    ),
    "no memory limit": (lambda t: container(t)["resources"].pop("limits"), "memory has no limit"),
    "GPU overcommitted": (
        lambda t: set_in(
            find(t, "ServingRuntime", "twin-tgi")["spec"]["containers"][0]["resources"]["limits"], "nvidia.com/gpu", "2"
        ),
        "cannot be overcommitted",
    ),
    "cron": (lambda t: set_in(find(t, "CronJob", "backup-qdrant")["spec"], "schedule", "61 2 * * *"), "is not within"),
    "time zone": (lambda t: set_in(find(t, "CronJob", "backup-qdrant")["spec"], "timeZone", "Mars/One"), "time zone"),
    "min over max": (lambda t: transformer(t).update(minReplicas=3, maxReplicas=2), "minReplicas 3 > maxReplicas 2"),
    "missing ConfigMap": (lambda t: drop(t, "ConfigMap", "twin-endpoints"), "no ConfigMap twin-endpoints"),
    "missing Secret key": (
        lambda t: set_in(container(t)["env"][0]["valueFrom"]["secretKeyRef"], "key", "ACCESS"),
        "has no key ACCESS",
    ),
    "missing Service": (lambda t: drop(t, "Service", "qdrant"), "no Service qdrant with port 6333"),
    "missing account": (lambda t: drop(t, "ServiceAccount", "mlflow"), "no ServiceAccount mlflow"),
    "missing claim": (
        lambda t: find(t, "Deployment", "mlflow")["spec"]["template"]["spec"]["volumes"].append(
            {"name": "more", "persistentVolumeClaim": {"claimName": "none"}}
        ),
        "no PersistentVolumeClaim none",
    ),
    "missing priority class": (lambda t: drop(t, "PriorityClass", "llm-twin-stores"), "no PriorityClass"),
    "probe's port": (
        lambda t: set_in(container(t)["readinessProbe"]["httpGet"], "port", 5001),
        "asks port 5001",
    ),
    "no probe": (lambda t: container(t).pop("livenessProbe"), "no livenessProbe"),
    "no security context": (lambda t: container(t).pop("securityContext"), "no securityContext"),
    "privileged": (lambda t: set_in(container(t)["securityContext"], "privileged", True), "privileged"),
    "root": (
        lambda t: find(t, "Deployment", "mlflow")["spec"]["template"]["spec"]["securityContext"].pop("runAsNonRoot"),
        "runAsNonRoot is not true",
    ),
    "writable root": (
        lambda t: set_in(container(t)["securityContext"], "readOnlyRootFilesystem", False),
        "readOnlyRootFilesystem",
    ),
    "host path": (
        lambda t: find(t, "Deployment", "mlflow")["spec"]["template"]["spec"]["volumes"].append(
            {"name": "host", "hostPath": {"path": "/"}}
        ),
        "is a hostPath",
    ),
    "latest": (lambda t: set_in(container(t), "image", "docker.io/library/mongo:latest"), "is not pinned"),
    "no registry": (lambda t: set_in(container(t), "image", "mongo:8.0.17"), "names no registry"),
    "no default deny": (lambda t: drop(t, "NetworkPolicy", "default-deny"), "no policy that denies all"),
    "pod without policy": (lambda t: drop(t, "NetworkPolicy", "mlflow"), "Deployment/mlflow: no network policy"),
    "policy's port": (
        lambda t: set_in(find(t, "NetworkPolicy", "qdrant")["spec"]["ingress"][0], "ports", [{"port": 1}]),
        "policy opens [1]",
    ),
    "policy for nobody": (
        lambda t: set_in(find(t, "NetworkPolicy", "qdrant")["spec"]["podSelector"], "matchLabels", {"a": "b"}),
        "selects no pod",
    ),
    "token without need": (
        lambda t: find(t, "Deployment", "mlflow")["spec"]["template"]["spec"].pop("automountServiceAccountToken"),
        "mounts a token",
    ),
    "mount without volume": (lambda t: container(t)["volumeMounts"][0].update(name="none"), "which is no volume"),
    "a Secret": (
        lambda t: t.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "llm-twin-dev"}}
        ),
        "a Secret in the repository",
    ),
    "twice": (lambda t: t.append(find(t, "Service", "qdrant")), "2 times"),
    "namespace": (
        lambda t: set_in(find(t, "Service", "qdrant")["metadata"], "namespace", "other"),
        "which is not made here",
    ),
    "members": (lambda t: set_in(find(t, "StatefulSet", "mongodb")["spec"], "replicas", 3), "MONGODB_MEMBERS"),
    "quota": (
        lambda t: set_in(find(t, "ResourceQuota", "llm-twin")["spec"]["hard"], "requests.memory", "1Gi"),
        "are requested, 1Gi allowed",
    ),
    "canary percent without Knative": (
        lambda t: set_in(find(t, "InferenceService", "twin")["spec"]["predictor"], "canaryTrafficPercent", 10),
        "use HTTPRoute weights",
    ),
    "zero without Knative": (lambda t: set_in(transformer(t), "minReplicas", 0), "do not come back from 0"),
    "runtime": (lambda t: drop(t, "ServingRuntime", "twin-tgi"), "no ServingRuntime twin-tgi"),
    "wide role": (
        lambda t: set_in(find(t, "Role", "schedule")["rules"][0], "verbs", ["*"]),
        "a rule with *",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_build_is_found(name: str) -> None:
    breaker, expected = BREAKS[name]
    things, schemas = build_overlay("dev"), custom_schemas()
    breaker(things)
    found = check(things, schemas)
    assert any(expected in problem for problem in found), found


GATEWAY_BREAKS: dict[str, tuple[Callable[[Things], Any], str]] = {
    "backend": (
        lambda t: set_in(find(t, "HTTPRoute", "twin")["spec"]["rules"][0]["backendRefs"][0], "name", "twin"),
        "no Service twin with port 80",
    ),
    "weights": (
        lambda t: set_in(find(t, "HTTPRoute", "twin")["spec"]["rules"][0]["backendRefs"][1], "weight", 7),
        "do not add up to 100",
    ),
    "listener": (
        lambda t: set_in(find(t, "HTTPRoute", "twin")["spec"]["parentRefs"][0], "sectionName", "ftp"),
        "with a listener ftp",
    ),
    "host": (lambda t: set_in(find(t, "HTTPRoute", "twin")["spec"], "hostnames", ["x.org"]), "host x.org"),
    "certificate": (
        lambda t: set_in(find(t, "Certificate", "twin")["spec"], "dnsNames", ["x.org"]),
        "the certificate is not for",
    ),
    "issuer": (lambda t: drop(t, "Issuer", "twin"), "no Issuer twin"),
    "cache": (
        lambda t: set_in(find(t, "LocalModelCache", "twin-0.1.0")["spec"], "sourceModelUri", "s3://x/y"),
        "which nothing serves",
    ),
    "scaler": (
        lambda t: set_in(find(t, "ScaledObject", "twin-predictor")["spec"], "minReplicaCount", 9),
        "minReplicaCount 9 > maxReplicaCount",
    ),
    "scaler's target": (
        lambda t: set_in(find(t, "ScaledObject", "twin-predictor")["spec"]["scaleTargetRef"], "name", "x"),
        "no Deployment x",
    ),
    "monitor's port": (
        lambda t: set_in(find(t, "ServiceMonitor", "qdrant")["spec"]["endpoints"][0], "port", "grpc"),
        "no Service has a port grpc",
    ),
    "cluster-wide in a namespace": (
        lambda t: set_in(find(t, "LocalModelCache", "twin-0.1.0")["metadata"], "namespace", "llm-twin"),
        "the kind is cluster-wide",
    ),
}


@pytest.mark.parametrize("name", GATEWAY_BREAKS)
def test_a_broken_production_build_is_found(name: str) -> None:
    breaker, expected = GATEWAY_BREAKS[name]
    things, schemas = build_overlay("prod", "canary", "autoscaling"), custom_schemas()
    breaker(things)
    found = check(things, schemas)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("overlay", "chosen"),
    [("dev", ()), ("dev", ("cpu",)), ("staging", ()), ("prod", ()), ("prod", ("canary", "autoscaling"))],
)
def test_the_overlays_hold_every_rule(overlay: str, chosen: tuple[str, ...]) -> None:
    things, schemas = build_overlay(overlay, *chosen), custom_schemas()
    assert check(things, schemas) == []


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("0 2 * * *", True), ("*/15 0-6,18-23 * jan mon-fri", True), ("0 0 1 1 7", True),
        ("60 2 * * *", False), ("0 24 * * *", False), ("0 2 * *", False), ("0 2 0 * *", False),
        ("5-2 * * * *", False), ("*/0 * * * *", False), ("@daily", False), ("a * * * *", False),
    ],
)  # fmt: skip
def test_cron_lines(line: str, good: bool) -> None:
    assert (cron_problem(line) == "") is good


def test_quantities() -> None:
    assert [parse_quantity(q) for q in ("100m", "2", "1Ki", "1.5Gi", "3M")] == [0.1, 2, 1024, 1.5 * 2**30, 3e6]
    with pytest.raises(ValueError, match="no quantity"):
        parse_quantity("2 GB")
