"""Rules about schedules, counts, names, namespaces, networks, quotas, and what KServe's webhooks would refuse."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tests.manifest_rules.cluster import Cluster, matches, where
from tests.manifest_rules.rules_pods import parse_quantity
from tests.manifest_rules.schemas import Schemas

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "sun mon tue wed thu fri sat".split()
_CRON_FIELDS = ((0, 59, ()), (0, 23, ()), (1, 31, ()), (1, 12, _MONTHS), (0, 7, _DAYS))
_DNS_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")


def check_cluster(cluster: Cluster, schemas: Schemas) -> Iterator[str]:
    """All rules about the whole."""
    yield from check_schedules(cluster)
    yield from check_counts(cluster)
    yield from check_names(cluster, schemas)
    yield from check_network_policies(cluster)
    yield from check_kserve(cluster)
    yield from check_quota(cluster)
    yield from check_mongodb(cluster)


def cron_problem(schedule: str) -> str:
    """What is wrong with a cron line of five fields; empty if nothing is."""
    fields = schedule.split()
    if len(fields) != 5:
        return f"{len(fields)} fields, not 5"
    for text, (low, high, names) in zip(fields, _CRON_FIELDS, strict=True):
        for part in text.lower().split(","):
            span, _, step = part.partition("/")
            if step and (not step.isdigit() or int(step) == 0):
                return f"step in {text!r}"
            if span == "*":
                continue
            ends = [names.index(e) + low if e in names else int(e) if e.isdigit() else -1 for e in span.split("-")]
            if len(ends) > 2 or any(not low <= end <= high for end in ends) or ends != sorted(ends):
                return f"{text!r} is not within {low}-{high}"
    return ""


def check_schedules(cluster: Cluster) -> Iterator[str]:
    """Cron lines and time zones are right, and runs do not pile up."""
    for job in cluster.all("CronJob"):
        if problem := cron_problem(job["spec"]["schedule"]):
            yield f"{where(job)}: schedule {job['spec']['schedule']!r}: {problem}"
        try:
            ZoneInfo(job["spec"].get("timeZone", ""))
        except (ZoneInfoNotFoundError, ValueError):
            yield f"{where(job)}: time zone {job['spec'].get('timeZone')!r}"
        if job["spec"].get("concurrencyPolicy") != "Forbid":
            yield f"{where(job)}: two runs at once are not forbidden"
        if "activeDeadlineSeconds" not in job["spec"]["jobTemplate"]["spec"]:
            yield f"{where(job)}: a run may last for ever"


def check_counts(cluster: Cluster) -> Iterator[str]:
    """Minimum ≤ maximum, and budgets that let a node be drained."""
    for isvc in cluster.all("InferenceService"):
        for component in ("predictor", "transformer"):
            part = isvc["spec"].get(component, {})
            low, high = part.get("minReplicas", 1), part.get("maxReplicas", 0)
            if high and low > high:
                yield f"{where(isvc)} {component}: minReplicas {low} > maxReplicas {high}"
    for scaled in cluster.all("ScaledObject"):
        spec = scaled["spec"]
        low, high = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
        if low > high:
            yield f"{where(scaled)}: minReplicaCount {low} > maxReplicaCount {high}"
        if not 0 <= spec.get("fallback", {}).get("replicas", low) <= high:
            yield f"{where(scaled)}: fallback outside of 0 to {high}"
        if spec.get("idleReplicaCount", -1) >= low:
            yield f"{where(scaled)}: idleReplicaCount is not below minReplicaCount {low}"
    for scaler in cluster.all("HorizontalPodAutoscaler"):
        if scaler["spec"].get("minReplicas", 1) > scaler["spec"]["maxReplicas"]:
            yield f"{where(scaler)}: minReplicas > maxReplicas"
    for budget in cluster.all("PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") in (0, "0%"):
            yield f"{where(budget)}: no pod may ever be moved"


def check_names(cluster: Cluster, schemas: Schemas) -> Iterator[str]:
    """Names and labels that the API server takes; each object once; namespaces where they belong."""
    counts = Counter((t["apiVersion"].split("/")[0], t["kind"], t["metadata"]["name"]) for t in cluster.things)
    yield from (f"{kind}/{name}: {count} times" for (_, kind, name), count in counts.items() if count > 1)
    namespaces = {thing["metadata"]["name"] for thing in cluster.all("Namespace")}
    for thing in cluster.things:
        if not _DNS_NAME.match(thing["metadata"]["name"]):
            yield f"{where(thing)}: no name that Kubernetes takes"
        for key, value in (thing["metadata"].get("labels") or {}).items():
            if not _LABEL_VALUE.match(str(value)):
                yield f"{where(thing)}: label {key}: {value!r}"
        namespace = thing["metadata"].get("namespace")
        if schemas.is_namespaced(thing) and namespace not in namespaces:
            yield f"{where(thing)}: in namespace {namespace!r}, which is not made here"
        if not schemas.is_namespaced(thing) and namespace:
            yield f"{where(thing)}: the kind is cluster-wide, but it names namespace {namespace!r}"
        if thing["kind"] == "Secret":
            yield f"{where(thing)}: a Secret in the repository"
        if thing["apiVersion"].startswith("llm-twin/"):
            yield f"{where(thing)}: our own file among what is applied"


def check_network_policies(cluster: Cluster) -> Iterator[str]:
    """Everything is denied first, both ways; and each pod has a policy that says what it may do."""
    policies = list(cluster.all("NetworkPolicy"))
    for namespace in {pod.namespace for pod in cluster.pods}:
        own = [policy["spec"] for policy in policies if policy["metadata"].get("namespace") == namespace]
        denied = [p for p in own if not p.get("podSelector") and not p.get("ingress") and not p.get("egress")]
        if not any(set(policy.get("policyTypes", [])) == {"Ingress", "Egress"} for policy in denied):
            yield f"{namespace}: no policy that denies all, in and out"
        for pod in cluster.pods:
            chosen = [p for p in own if p.get("podSelector") and matches(p["podSelector"], pod.labels)]
            if pod.namespace == namespace and not chosen:
                yield f"{pod.owner}: no network policy of its own"
            for policy in chosen:
                for rule in policy.get("ingress") or []:
                    wanted = [port["port"] for port in rule.get("ports", [])]
                    if wanted and not any(str(port) in pod.ports() for port in wanted):
                        yield f"{pod.owner}: policy opens {wanted}, and it has {sorted(pod.ports())}"


def check_kserve(cluster: Cluster) -> Iterator[str]:
    """What KServe's webhooks and controller refuse or, worse, ignore."""
    scaled = {scaled["spec"]["scaleTargetRef"]["name"] for scaled in cluster.all("ScaledObject")}
    for isvc in cluster.all("InferenceService"):
        name, annotations = isvc["metadata"]["name"], isvc["metadata"].get("annotations", {})
        mode = annotations.get("serving.kserve.io/deploymentMode")
        predictor = isvc["spec"]["predictor"]
        if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
            yield f"{where(isvc)}: KServe refuses the name"
        if mode not in ("Standard", "Knative"):
            yield f"{where(isvc)}: deployment mode {mode!r}; its older names are not validated the same"
        if predictor.get("canaryTrafficPercent") is not None and mode != "Knative":
            yield f"{where(isvc)}: canaryTrafficPercent is ignored with plain Deployments: use HTTPRoute weights"
        if mode == "Standard" and 0 in (predictor.get("minReplicas"), isvc["spec"]["transformer"].get("minReplicas")):
            yield f"{where(isvc)}: plain Deployments do not come back from 0 replicas"
        if mode == "Standard" and (annotations.get("serving.kserve.io/autoscalerClass") == "external") != bool(
            {f"{name}-predictor", f"{name}-transformer"} & scaled
        ):
            yield f"{where(isvc)}: autoscalerClass external and a ScaledObject belong together"
        model = predictor.get("model") or {}
        if model.get("name"):
            yield f"{where(isvc)}: KServe refuses a name in predictor.model"
        if model.get("storageUri") and predictor.get("storageUris"):
            yield f"{where(isvc)}: storageUri and storageUris exclude each other"
        for uri in [model.get("storageUri"), *(entry["uri"] for entry in predictor.get("storageUris") or [])]:
            if uri is not None and not re.match(r"^(s3|gs|hf|pvc|oci|https?)://[\w./:@-]+$", str(uri)):
                yield f"{where(isvc)}: storage address {uri!r}"
        if isvc["spec"]["transformer"]["containers"][0]["name"] != "kserve-container":
            yield f"{where(isvc)}: KServe renames the transformer's container to kserve-container"
    for runtime in cluster.all("ServingRuntime"):
        if runtime["spec"]["containers"][0]["name"] != "kserve-container":
            yield f"{where(runtime)}: its first container must be kserve-container"


def check_quota(cluster: Cluster) -> Iterator[str]:
    """The quota has room for what always runs."""
    for quota in cluster.all("ResourceQuota"):
        for resource in ("cpu", "memory"):
            limit = quota["spec"]["hard"].get(f"requests.{resource}")
            if limit is None:
                continue
            needed = sum(
                parse_quantity(container["resources"]["requests"][resource]) * _replicas(pod.owner, cluster)
                for pod in cluster.pods if not pod.ends
                for _, container, is_init in pod.containers() if not is_init
                if resource in ((container.get("resources") or {}).get("requests") or {})
            )  # fmt: skip
            if needed > parse_quantity(limit):
                yield f"{where(quota)}: {resource}: {needed:g} are requested, {limit} allowed"


def _replicas(owner: str, cluster: Cluster) -> int:
    kind, _, rest = owner.partition("/")
    name, _, component = rest.partition(" ")
    thing: Any = cluster.get(kind, name) or {"spec": {}}
    if component:
        return int(thing["spec"][component].get("minReplicas", 1))
    return int(thing["spec"].get("replicas", 1))


def check_mongodb(cluster: Cluster) -> Iterator[str]:
    """The replica set is told as many members as there are."""
    stateful = cluster.get("StatefulSet", "mongodb")
    if stateful:
        told = [
            variable["value"]
            for container in stateful["spec"]["template"]["spec"]["containers"]
            for variable in container.get("env", []) if variable["name"] == "MONGODB_MEMBERS"
        ]  # fmt: skip
        if told != [str(stateful["spec"]["replicas"])]:
            yield f"StatefulSet/mongodb: {stateful['spec']['replicas']} replicas, MONGODB_MEMBERS {told}"
        if stateful["spec"]["replicas"] % 2 == 0:
            yield "StatefulSet/mongodb: an even number of members elects badly"
