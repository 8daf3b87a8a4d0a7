"""The objects of one build, looked up by kind and name; and the pods that will run, KServe's among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Thing = dict[str, Any]
TEMPLATES = {"Deployment", "StatefulSet", "DaemonSet", "Job"}
KNATIVE_FIELDS_KEPT = ("containers", "volumes", "serviceAccountName")


@dataclass(frozen=True)
class Pod:
    """A pod that an object will make: `owner` is Kind/name; `runs` once for Jobs, for ever for others."""

    owner: str
    namespace: str
    labels: dict[str, str]
    spec: Thing
    ends: bool = False
    services: tuple[str, ...] = ()

    def containers(self) -> Iterator[tuple[str, Thing, bool]]:
        """(place, container, whether it is an init container)."""
        for kind in ("initContainers", "containers"):
            for container in self.spec.get(kind) or []:
                yield f"{self.owner} {container.get('name')}", container, kind == "initContainers"

    def ports(self) -> dict[str, int]:
        """Named and numbered ports of the containers: name and number as text → number."""
        found: dict[str, int] = {}
        for _, container, _ in self.containers():
            for port in container.get("ports") or []:
                found[str(port["containerPort"])] = port["containerPort"]
                if port.get("name"):
                    found[port["name"]] = port["containerPort"]
        return found


@dataclass
class Cluster:
    """One build."""

    things: list[Thing]
    pods: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._index = {(thing["kind"], thing["metadata"]["name"]): thing for thing in self.things}
        for thing in self.things:
            self.pods.extend(_pods_of(thing, self))

    def get(self, kind: str, name: str) -> Thing | None:
        """The object, or None."""
        return self._index.get((kind, name))

    def all(self, *kinds: str) -> Iterator[Thing]:
        """Objects of these kinds."""
        return (thing for thing in self.things if thing["kind"] in kinds)

    def services(self) -> dict[str, tuple[dict[str, str], dict[str, int]]]:
        """Service name → (selector or labels, its ports by name and number); KServe's too."""
        found = {}
        for thing in self.all("Service"):
            ports = {}
            for port in thing["spec"].get("ports", []):
                ports[str(port["port"])] = port["port"]
                if port.get("name"):
                    ports[port["name"]] = port["port"]
            found[thing["metadata"]["name"]] = (thing["metadata"].get("labels", {}), ports)
        for pod in self.pods:
            for name in pod.services:
                found[name] = (pod.labels, {"80": 80, "http": 80})
        return found


def where(thing: Thing) -> str:
    """Kind/name."""
    return f"{thing['kind']}/{thing['metadata']['name']}"


def matches(selector: Thing | None, labels: dict[str, str]) -> bool:
    """Whether a label selector (empty: everything) takes these labels."""
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        value, values = labels.get(rule["key"]), rule.get("values") or []
        if not {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": rule["key"] in labels,
            "DoesNotExist": rule["key"] not in labels,
        }[rule["operator"]]:
            return False
    return True


def _pods_of(thing: Thing, cluster: Cluster) -> list[Pod]:
    kind, namespace = thing["kind"], thing["metadata"].get("namespace", "")
    if kind in TEMPLATES:
        template = thing["spec"]["template"]
        return [_pod(where(thing), namespace, template, ends=kind == "Job")]
    if kind == "CronJob":
        return [_pod(where(thing), namespace, thing["spec"]["jobTemplate"]["spec"]["template"], ends=True)]
    if kind == "InferenceService":
        return _kserve_pods(thing, cluster)
    return []


def _pod(owner: str, namespace: str, template: Thing, ends: bool) -> Pod:
    return Pod(owner, namespace, template.get("metadata", {}).get("labels", {}), template["spec"], ends)


def _kserve_pods(isvc: Thing, cluster: Cluster) -> list[Pod]:
    """What KServe's controller makes: a ServingRuntime merged with the predictor; the transformer as it stands."""
    name, namespace = isvc["metadata"]["name"], isvc["metadata"].get("namespace", "")
    pods = []
    for component in ("predictor", "transformer"):
        part = isvc["spec"].get(component)
        if not part:
            continue
        labels = {
            **isvc["metadata"].get("labels", {}),
            **part.get("labels", {}),
            "serving.kserve.io/inferenceservice": name,
            "component": component,
            "app": f"isvc.{name}-{component}",
        }
        spec = dict(part)
        if "model" in part:
            runtime = cluster.get("ServingRuntime", part["model"].get("runtime", "")) or {"spec": {"containers": [{}]}}
            spec = _merge_runtime(runtime["spec"], part)
        pods.append(
            Pod(f"InferenceService/{name} {component}", namespace, labels, spec, services=(f"{name}-{component}",))
        )
    return pods


def _merge_runtime(runtime: Thing, part: Thing) -> Thing:
    model = part["model"]
    container = {**runtime["containers"][0]}
    for key, value in model.items():
        if key in ("env", "volumeMounts", "args"):
            container[key] = [*(container.get(key) or []), *value]
        elif key not in ("modelFormat", "runtime", "storageUri", "protocolVersion", "storage"):
            container[key] = value
    downloads = bool(model.get("storageUri") or part.get("storageUris"))
    if downloads:
        container["volumeMounts"] = [
            *(container.get("volumeMounts") or []), {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
        ]  # fmt: skip
    spec = {key: value for key, value in part.items() if key != "model"}
    spec["containers"] = [container, *runtime["containers"][1:], *(part.get("containers") or [])]
    spec["volumes"] = [
        *(runtime.get("volumes") or []), *(part.get("volumes") or []),
        *([{"name": "kserve-provision-location", "emptyDir": {}}] if downloads else []),
    ]  # fmt: skip
    for key in ("nodeSelector", "tolerations"):
        if key in runtime and key not in spec:
            spec[key] = runtime[key]
    return spec
