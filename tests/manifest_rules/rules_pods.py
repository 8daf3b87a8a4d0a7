"""Rules about pods: security, probes, resources, images, volumes, names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.manifest_rules.cluster import Cluster, Pod

# accounts that may have a token: each is bound to a Role
NO_PERSISTENCE = {"hostPath"}
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(m|k|[KMGTP]i|[MGTP]|)$")
_FACTORS = {"": 1.0, "m": 1e-3, **{u: 1000.0**i for i, u in enumerate("kMGTP", 1)}}
_FACTORS |= {f"{u}i": 1024.0**i for i, u in enumerate("KMGTP", 1)}


def parse_quantity(text: str | int | float) -> float:
    """A Kubernetes quantity as a number. Raises ValueError."""
    found = _QUANTITY.match(str(text))
    if not found:
        raise ValueError(f"no quantity: {text!r}")
    return float(found[1]) * _FACTORS[found[2]]


def check_pods(cluster: Cluster) -> Iterator[str]:
    """All rules about pods."""
    for pod in cluster.pods:
        yield from check_pod_security(pod)
        yield from check_token(pod, cluster)
        yield from check_volumes(pod)
        for place, container, is_init in pod.containers():
            yield from check_container_security(place, container, pod)
            yield from check_image(place, container)
            yield from check_resources(place, container)
            if not is_init and not pod.ends:
                yield from check_probes(place, container)
            for variable in container.get("env") or []:
                if variable["name"] == "PYTHONPATH":
                    yield f"{place}: KServe's webhook refuses PYTHONPATH"


def check_pod_security(pod: Pod) -> Iterator[str]:
    """No host namespaces, no host paths."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key):
            yield f"{pod.owner}: {key}"
    for volume in pod.spec.get("volumes") or []:
        if "hostPath" in volume:
            yield f"{pod.owner}: volume {volume['name']} is a hostPath"
    if pod.spec.get("enableServiceLinks") is not False:
        yield f"{pod.owner}: enableServiceLinks is not false (services' addresses would fill the environment)"


def check_token(pod: Pod, cluster: Cluster) -> Iterator[str]:
    """A pod has a token only if its account is bound to a Role, and an account of its own."""
    account = pod.spec.get("serviceAccountName")
    if not account or account == "default":
        yield f"{pod.owner}: no service account of its own"
    bound = any(
        subject.get("name") == account
        for binding in cluster.all("RoleBinding", "ClusterRoleBinding")
        for subject in binding.get("subjects", [])
    )
    if pod.spec.get("automountServiceAccountToken") is not False and not bound:
        yield f"{pod.owner}: mounts a token of {account}, which no Role is bound to"


def check_container_security(place: str, container: dict, pod: Pod) -> Iterator[str]:
    """The restricted profile, and a read-only root."""
    own, shared = container.get("securityContext") or {}, pod.spec.get("securityContext") or {}
    if not own:
        yield f"{place}: no securityContext"
        return
    if own.get("privileged"):
        yield f"{place}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{place}: allowPrivilegeEscalation is not false"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{place}: readOnlyRootFilesystem is not true"
    if (own.get("capabilities") or {}).get("drop") != ["ALL"] or (own.get("capabilities") or {}).get("add"):
        yield f"{place}: capabilities are not all dropped"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield f"{place}: runAsNonRoot is not true"
    if own.get("runAsUser", shared.get("runAsUser")) in (0, None):
        yield f"{place}: no numeric runAsUser"
    if (own.get("seccompProfile") or shared.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield f"{place}: seccompProfile is not RuntimeDefault"


def check_probes(place: str, container: dict) -> Iterator[str]:
    """A container that stays up says when it is ready and whether it lives; Jobs end by themselves."""
    for probe in ("readinessProbe", "livenessProbe"):
        if not container.get(probe):
            yield f"{place}: no {probe}"


def check_image(place: str, container: dict) -> Iterator[str]:
    """A registry, and a version or a digest."""
    image = container.get("image", "")
    name, _, digest = image.partition("@")
    registry, _, rest = name.partition("/")
    tag = rest.rsplit(":", 1)[1] if ":" in rest else ""
    if "." not in registry or not rest:
        yield f"{place}: image {image!r} names no registry"
    if digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        yield f"{place}: image {image!r} has a broken digest"
    if not digest and (not re.search(r"\d+\.\d+", tag)):
        yield f"{place}: image {image!r} is not pinned by a full version or digest"


def check_resources(place: str, container: dict) -> Iterator[str]:
    """CPU and memory are requested, memory is limited, requests lie within limits, whole things are equal."""
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name in ("cpu", "memory"):
        if name not in requests:
            yield f"{place}: requests no {name}"
    if "memory" not in limits:
        yield f"{place}: memory has no limit"
    for name, value in {**limits, **requests}.items():
        try:
            parse_quantity(value)
        except ValueError as error:
            yield f"{place}: {name}: {error}"
            return
    for name in requests.keys() & limits.keys():
        if parse_quantity(requests[name]) > parse_quantity(limits[name]):
            yield f"{place}: requests {requests[name]} {name}, more than its limit {limits[name]}"
    for name in (requests.keys() | limits.keys()) - {"cpu", "memory", "ephemeral-storage"}:
        if requests.get(name, limits.get(name)) != limits.get(name):
            yield f"{place}: {name} cannot be overcommitted: request and limit differ"


def check_volumes(pod: Pod) -> Iterator[str]:
    """Mounts name volumes that are there, volumes are mounted, and no path is taken twice."""
    names = [volume["name"] for volume in pod.spec.get("volumes") or []]
    claims = [claim["metadata"]["name"] for claim in pod.spec.get("volumeClaimTemplates") or []]
    mounted = set()
    for place, container, _ in pod.containers():
        paths = [mount["mountPath"] for mount in container.get("volumeMounts") or []]
        for path in {path for path in paths if paths.count(path) > 1}:
            yield f"{place}: two volumes at {path}"
        for mount in container.get("volumeMounts") or []:
            mounted.add(mount["name"])
            if mount["name"] not in names and mount["name"] not in claims and not pod.owner.startswith("StatefulSet"):
                yield f"{place}: mounts {mount['name']}, which is no volume"
    for name in {name for name in names if names.count(name) > 1}:
        yield f"{pod.owner}: two volumes named {name}"
    for name in set(names) - mounted:
        yield f"{pod.owner}: volume {name} is mounted nowhere"
