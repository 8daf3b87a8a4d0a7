"""Rules about what objects say of one another: selectors, references, ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.manifest_rules.cluster import Cluster, Pod, Thing, matches, where

# Pods that others make here: KFP's, and cert-manager's.
FOREIGN_LABELS = ("pipelines.kubeflow.org/v2_component", "acme.cert-manager.io/http01-solver")


def check_links(cluster: Cluster) -> Iterator[str]:
    """All rules about links."""
    yield from check_selectors(cluster)
    yield from check_accounts(cluster)
    yield from check_backends(cluster)
    yield from check_custom_links(cluster)
    yield from check_endpoints(cluster)
    secrets = secret_keys(cluster)
    for pod in cluster.pods:
        yield from check_pod_references(pod, cluster, secrets)
    for account in cluster.all("ServiceAccount"):
        for secret in account.get("secrets", []):
            if secret["name"] not in secrets:
                yield f"{where(account)}: no Secret {secret['name']}"


def secret_keys(cluster: Cluster) -> dict[str, set[str]]:
    """Secrets that will be there, with their keys: those of the contract, and certificates."""
    contract = cluster.get("ConfigMap", "twin-secret-keys")
    declared = yaml.safe_load(contract["data"]["secrets.yaml"]) if contract else {}
    found = {name: set(entry["keys"]) for name, entry in declared.items()}
    for certificate in cluster.all("Certificate"):
        found[certificate["spec"]["secretName"]] = {"tls.crt", "tls.key", "ca.crt"}
    return found


def check_selectors(cluster: Cluster) -> Iterator[str]:
    """Every selector takes at least one pod (or Service), and workloads take their own."""
    for thing in cluster.all("Deployment", "StatefulSet", "DaemonSet"):
        labels = thing["spec"]["template"]["metadata"].get("labels", {})
        if not matches(thing["spec"]["selector"], labels):
            yield f"{where(thing)}: its selector does not match its own pods"
    for thing in cluster.all("Service"):
        selector = {"matchLabels": thing["spec"].get("selector") or {}}
        taken = [pod for pod in cluster.pods if selector["matchLabels"] and matches(selector, pod.labels)]
        if not taken:
            yield f"{where(thing)}: selects no pod"
        for port in thing["spec"].get("ports", []):
            target = str(port.get("targetPort", port["port"]))
            yield from (
                f"{where(thing)}: {pod.owner} has no port {target}" for pod in taken if target not in pod.ports()
            )
    for thing in cluster.all("PodDisruptionBudget"):
        if not any(matches(thing["spec"]["selector"], pod.labels) for pod in cluster.pods):
            yield f"{where(thing)}: selects no pod"
    for thing in cluster.all("NetworkPolicy"):
        for selector in _policy_selectors(thing):
            foreign = any(key in FOREIGN_LABELS for key in selector.get("matchLabels", {}))
            taken = any(matches(selector, pod.labels) for pod in cluster.pods)
            if selector and not foreign and not taken and not _is_optional(selector):
                yield f"{where(thing)}: {selector} selects no pod"
    services = cluster.services()
    for thing in cluster.all("ServiceMonitor"):
        taken = [ports for labels, ports in services.values() if matches(thing["spec"]["selector"], labels)]
        if not taken:
            yield f"{where(thing)}: selects no Service"
        for endpoint in thing["spec"]["endpoints"]:
            if not any(endpoint["port"] in ports for ports in taken):
                yield f"{where(thing)}: no Service has a port {endpoint['port']}"


def _is_optional(selector: Thing) -> bool:
    """Pods of a component that this build may lack: the policy stands ready."""
    return selector.get("matchLabels", {}).get("app.kubernetes.io/name") in ("sample-author",)


def _policy_selectors(policy: Thing) -> Iterator[Thing]:
    yield policy["spec"].get("podSelector") or {}
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction) or []:
            for peer in rule.get(side) or []:
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    yield peer["podSelector"] or {}


def check_accounts(cluster: Cluster) -> Iterator[str]:
    """Service accounts, priority classes and bindings refer to what is there."""
    for pod in cluster.pods:
        account = pod.spec.get("serviceAccountName")
        if account and not cluster.get("ServiceAccount", account):
            yield f"{pod.owner}: no ServiceAccount {account}"
        priority = pod.spec.get("priorityClassName")
        if priority and not cluster.get("PriorityClass", priority):
            yield f"{pod.owner}: no PriorityClass {priority}"
    for binding in cluster.all("RoleBinding"):
        if not cluster.get(binding["roleRef"]["kind"], binding["roleRef"]["name"]):
            yield f"{where(binding)}: no {binding['roleRef']['kind']} {binding['roleRef']['name']}"
        for subject in binding.get("subjects", []):
            if not cluster.get(subject["kind"], subject["name"]):
                yield f"{where(binding)}: no {subject['kind']} {subject['name']}"
    for role in cluster.all("Role", "ClusterRole"):
        for rule in role.get("rules", []):
            if "*" in rule.get("verbs", []) + rule.get("resources", []) + rule.get("apiGroups", []):
                yield f"{where(role)}: a rule with *"


def check_pod_references(pod: Pod, cluster: Cluster, secrets: dict[str, set[str]]) -> Iterator[str]:
    """ConfigMaps, Secrets, claims and ports that a pod names."""

    def check_config(name: str, key: str | None, optional: bool) -> Iterator[str]:
        found = cluster.get("ConfigMap", name)
        if not found and not optional:
            yield f"{pod.owner}: no ConfigMap {name}"
        elif found and key and key not in {**found.get("data", {}), **found.get("binaryData", {})}:
            yield f"{pod.owner}: ConfigMap {name} has no key {key}"

    def check_secret(name: str, key: str | None, optional: bool) -> Iterator[str]:
        if name not in secrets and not optional:
            yield f"{pod.owner}: no Secret {name}"
        elif name in secrets and key and key not in secrets[name]:
            yield f"{pod.owner}: Secret {name} has no key {key}"

    for place, container, _ in pod.containers():
        for source in container.get("envFrom") or []:
            if "configMapRef" in source:
                yield from check_config(source["configMapRef"]["name"], None, source["configMapRef"].get("optional"))
            if "secretRef" in source:
                yield from check_secret(source["secretRef"]["name"], None, source["secretRef"].get("optional"))
        for variable in container.get("env") or []:
            source = variable.get("valueFrom") or {}
            if reference := source.get("configMapKeyRef"):
                yield from check_config(reference["name"], reference["key"], reference.get("optional", False))
            if reference := source.get("secretKeyRef"):
                yield from check_secret(reference["name"], reference["key"], reference.get("optional", False))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            action = (container.get(probe) or {}).get("httpGet") or (container.get(probe) or {}).get("tcpSocket")
            if action and str(action["port"]) not in pod.ports():
                yield f"{place}: {probe} asks port {action['port']}, which no container has"
    for volume in pod.spec.get("volumes") or []:
        sources = [volume, *(volume.get("projected") or {}).get("sources", [])]
        for source in sources:
            if reference := source.get("configMap"):
                for key in [item["key"] for item in reference.get("items", [])] or [None]:
                    yield from check_config(reference["name"], key, reference.get("optional", False))
            if reference := source.get("secret"):
                name = reference.get("secretName") or reference.get("name")
                for key in [item["key"] for item in reference.get("items", [])] or [None]:
                    yield from check_secret(name, key, reference.get("optional", False))
            claim = source.get("persistentVolumeClaim")
            if claim and not cluster.get("PersistentVolumeClaim", claim["claimName"]):
                yield f"{pod.owner}: no PersistentVolumeClaim {claim['claimName']}"


def check_backends(cluster: Cluster) -> Iterator[str]:
    """Routes lead to Services and ports that exist, through listeners that exist."""
    services = cluster.services()
    for route in cluster.all("HTTPRoute"):
        for parent in route["spec"].get("parentRefs", []):
            gateway = cluster.get("Gateway", parent["name"])
            names = {listener["name"] for listener in gateway["spec"]["listeners"]} if gateway else set()
            if not gateway or (parent.get("sectionName") and parent["sectionName"] not in names):
                yield f"{where(route)}: no Gateway {parent['name']} with a listener {parent.get('sectionName', '')}"
            hosts = {listener.get("hostname") for listener in gateway["spec"]["listeners"]} if gateway else set()
            yield from (
                f"{where(route)}: host {host} is not one of the Gateway's {sorted(map(str, hosts))}"
                for host in route["spec"].get("hostnames", []) if host not in hosts and None not in hosts
            )  # fmt: skip
        for rule in route["spec"].get("rules", []):
            mirrored = [f["requestMirror"]["backendRef"] for f in rule.get("filters", []) if "requestMirror" in f]
            for backend in [*rule.get("backendRefs", []), *mirrored]:
                _, ports = services.get(backend["name"], ({}, {}))
                if str(backend.get("port")) not in ports:
                    yield f"{where(route)}: no Service {backend['name']} with port {backend.get('port')}"
            weights = [backend.get("weight", 1) for backend in rule.get("backendRefs", [])]
            if weights and sum(weights) != 100 and len(weights) > 1:
                yield f"{where(route)}: weights {weights} do not add up to 100"
    for stateful in cluster.all("StatefulSet"):
        if not cluster.get("Service", stateful["spec"]["serviceName"]):
            yield f"{where(stateful)}: no Service {stateful['spec']['serviceName']}"


def check_custom_links(cluster: Cluster) -> Iterator[str]:
    """What custom kinds refer to."""
    for isvc in cluster.all("InferenceService"):
        model = isvc["spec"]["predictor"].get("model") or {}
        runtime = cluster.get("ServingRuntime", model.get("runtime", ""))
        formats = [f["name"] for f in runtime["spec"]["supportedModelFormats"]] if runtime else []
        if model and model["modelFormat"]["name"] not in formats:
            yield f"{where(isvc)}: no ServingRuntime {model.get('runtime')} for {model['modelFormat']['name']}"
    deployments = {name for pod in cluster.pods for name in pod.services}
    deployments |= {thing["metadata"]["name"] for thing in cluster.all("Deployment")}
    for scaled in cluster.all("ScaledObject"):
        if scaled["spec"]["scaleTargetRef"]["name"] not in deployments:
            yield f"{where(scaled)}: no Deployment {scaled['spec']['scaleTargetRef']['name']}"
    for cache in cluster.all("LocalModelCache"):
        for group in cache["spec"]["nodeGroups"]:
            if not cluster.get("LocalModelNodeGroup", group):
                yield f"{where(cache)}: no LocalModelNodeGroup {group}"
        uris = {_storage_uri(isvc) for isvc in cluster.all("InferenceService")}
        if cache["spec"]["sourceModelUri"] not in uris:
            yield f"{where(cache)}: keeps {cache['spec']['sourceModelUri']}, which nothing serves"
    for certificate in cluster.all("Certificate"):
        issuer = certificate["spec"]["issuerRef"]
        if not cluster.get(issuer.get("kind", "Issuer"), issuer["name"]):
            yield f"{where(certificate)}: no Issuer {issuer['name']}"
    for gateway in cluster.all("Gateway"):
        for listener in gateway["spec"]["listeners"]:
            for reference in (listener.get("tls") or {}).get("certificateRefs", []):
                names = {c["spec"]["secretName"]: c for c in cluster.all("Certificate")}
                if reference["name"] not in names:
                    yield f"{where(gateway)}: no certificate makes Secret {reference['name']}"
                elif listener["hostname"] not in names[reference["name"]]["spec"]["dnsNames"]:
                    yield f"{where(gateway)}: the certificate is not for {listener['hostname']}"
    for queue in cluster.all("LocalQueue"):
        if not cluster.get("ClusterQueue", queue["spec"]["clusterQueue"]):
            yield f"{where(queue)}: no ClusterQueue {queue['spec']['clusterQueue']}"
    for queue in cluster.all("ClusterQueue"):
        for group in queue["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                if not cluster.get("ResourceFlavor", flavor["name"]):
                    yield f"{where(queue)}: no ResourceFlavor {flavor['name']}"
    secrets = secret_keys(cluster)
    for monitor in cluster.all("ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            reference = (endpoint.get("authorization") or {}).get("credentials")
            if reference and reference["key"] not in secrets.get(reference["name"], set()):
                yield f"{where(monitor)}: Secret {reference['name']} has no key {reference['key']}"


def _storage_uri(isvc: Thing) -> Any:
    return (isvc["spec"]["predictor"].get("model") or {}).get("storageUri")


def check_endpoints(cluster: Cluster) -> Iterator[str]:
    """Addresses in ConfigMaps and environment variables lead to Services of this build, at ports that they have."""
    services = cluster.services()
    addresses: list[tuple[str, str]] = []
    for config in cluster.all("ConfigMap"):
        if config["metadata"]["name"] == "twin-endpoints":
            addresses += [(f"{where(config)} {key}", value) for key, value in config["data"].items()]
    for pod in cluster.pods:
        for place, container, _ in pod.containers():
            addresses += [(f"{place} {v['name']}", str(v.get("value", ""))) for v in container.get("env") or []]
    for place, address in addresses:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and "." not in parts.hostname:
            _, ports = services.get(parts.hostname, ({}, {}))
            if str(parts.port or 80) not in ports:
                yield f"{place}: no Service {parts.hostname} with port {parts.port or 80}"
