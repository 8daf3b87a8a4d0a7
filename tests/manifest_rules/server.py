"""Applying to a real API server, as a user does: `kubectl apply`, twice, then gone again.

For a cluster with nothing on it that matters: a bare `kube-apiserver` with etcd is enough (no node runs anything), a
whole cluster with KServe's controller and webhooks says more. What schemas cannot say is said here: defaults, CEL
rules, quantities, immutable fields, the size of annotations, webhooks.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class ApiServer:
    """One API server, through kubectl and a kubeconfig."""

    def __init__(self, kubeconfig: str, kubectl: str = "kubectl") -> None:
        if shutil.which(kubectl) is None:
            raise FileNotFoundError(f"no {kubectl} on the PATH")
        self.command = [kubectl, "--kubeconfig", kubeconfig]

    def run(self, *arguments: str, given: str = "", timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """kubectl with `arguments`, `given` on its standard input; whatever it returns."""
        return subprocess.run(
            [*self.command, *arguments], input=given, capture_output=True, text=True, timeout=timeout, check=False
        )

    def version(self) -> str:
        """Such as v1.36.2."""
        return str(json.loads(self.run("version", "--output=json").stdout)["serverVersion"]["gitVersion"])

    def install_crds(self, folder: Path) -> list[str]:
        """Install the CRDs under `folder` that the server has not; returns what it refused.

        A CRD whose versions are converted by a webhook is installed without: the webhook is its controller's, and
        the versions that our manifests use are the stored ones.
        """
        have = set(self.run("get", "crd", "--output=name").stdout.split())
        wanted = []
        for file in sorted(folder.rglob("*.yaml")):
            for crd in yaml.load_all(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
                if not crd or crd.get("kind") != "CustomResourceDefinition":
                    continue
                if f"customresourcedefinition.apiextensions.k8s.io/{crd['metadata']['name']}" in have:
                    continue
                crd["spec"].pop("conversion", None)
                crd.pop("status", None)
                wanted.append(crd)
        refused = self.apply(wanted, "--server-side")
        if wanted and not refused:
            names = [f"crd/{crd['metadata']['name']}" for crd in wanted]
            self.run("wait", "--for=condition=Established", "--timeout=120s", *names)
        return refused

    def apply(self, objects: list[dict[str, Any]], *options: str) -> list[str]:
        """`kubectl apply` of `objects` in one call, in their order; returns the lines that it refused with."""
        if not objects:
            return []
        done = self.run("apply", *options, "--filename=-", given=yaml.safe_dump_all(objects, sort_keys=False))
        return [line for line in done.stderr.splitlines() if line.strip()] if done.returncode else []

    def changed_by(self, objects: list[dict[str, Any]]) -> list[str]:
        """What `kubectl apply` of the same objects again would change: empty when applying is idempotent."""
        done = self.run("diff", "--filename=-", given=yaml.safe_dump_all(objects, sort_keys=False))
        return [line for line in (done.stdout + done.stderr).splitlines() if line[:1] in "+-" or "rror" in line]

    def dropped_from(self, objects: list[dict[str, Any]]) -> list[str]:
        """Fields that were sent and that the server did not keep: a typing error that no schema caught."""
        said = self.run("get", "--filename=-", "--output=json", given=yaml.safe_dump_all(objects, sort_keys=False))
        if said.returncode:
            return said.stderr.splitlines()
        kept = json.loads(said.stdout)
        kept_by_name = {_key(thing): thing for thing in kept.get("items", [kept])}
        problems = []
        for thing in objects:
            found = kept_by_name.get(_key(thing))
            problems += [f"{_key(thing)}: not there"] if found is None else _lost(thing, found, "/".join(_key(thing)))
        return problems

    def namespaces(self) -> set[str]:
        """The names of the namespaces there are."""
        return {name.split("/")[1] for name in self.run("get", "namespaces", "--output=name").stdout.split()}

    def forget_namespaces(self, names: set[str]) -> None:
        """End namespaces that nothing finishes: without a controller manager a deleted one stays `Terminating`."""
        for name in names:
            done = self.run("wait", "--for=delete", f"namespace/{name}", "--timeout=60s", timeout=90)
            if done.returncode:
                found = json.loads(self.run("get", "namespace", name, "--output=json").stdout)
                found["spec"]["finalizers"] = []
                self.run("replace", "--raw", f"/api/v1/namespaces/{name}/finalize", "-f", "-", given=json.dumps(found))

    def delete(self, objects: list[dict[str, Any]]) -> None:
        """Delete `objects`, the last first; without waiting, since a bare API server has nothing that finishes it."""
        text = yaml.safe_dump_all(list(reversed(objects)), sort_keys=False)
        self.run("delete", "--ignore-not-found", "--wait=false", "--filename=-", given=text)


def _key(thing: dict[str, Any]) -> tuple[str, str]:
    return thing["kind"], thing["metadata"]["name"]


def _lost(sent: Any, kept: Any, path: str) -> list[str]:
    """Where something of `sent` is missing or other in `kept`; an empty value may go.

    The members of a list are matched by what names them (`_name_of`), so one that a webhook put in between moves
    nothing; a list without names must be there in its order. Quantities and durations may be written otherwise.
    """
    if isinstance(sent, dict):
        if not isinstance(kept, dict):
            return [f"{path}: {sent!r} became {kept!r}"]
        lost = []
        for key, value in sent.items():
            if key in kept:
                lost += _lost(value, kept[key], f"{path}.{key}")
            elif value not in (None, {}, [], "", 0, False) and (path.count("."), key) != (0, "stringData"):
                lost.append(f"{path}.{key}: dropped")
        return lost
    if isinstance(sent, list):
        if not isinstance(kept, list):
            return [f"{path}: a list became {kept!r}"]
        names = [_name_of(member) for member in sent]
        if sent and all(names) and len(set(names)) == len(names):
            there = {_name_of(member): member for member in kept}
            pairs = [(member, there.get(name), f"{path}[{name}]") for member, name in zip(sent, names, strict=True)]
        else:
            rest = [None] * max(0, len(sent) - len(kept))
            pairs = [(a, b, f"{path}[{n}]") for n, (a, b) in enumerate(zip(sent, [*kept, *rest], strict=False))]
        lost = [f"{where}: dropped" for a, b, where in pairs if b is None and a is not None]
        return lost + [problem for a, b, where in pairs if b is not None for problem in _lost(a, b, where)]
    return [] if sent == kept or _same_amount(str(sent), str(kept)) else [f"{path}: {sent!r} became {kept!r}"]


def _same_amount(one: str, other: str) -> bool:
    """Whether two quantities (0.5, 500m) or two durations (60m, 1h0m0s) are the same, written differently."""
    from kubernetes.utils.quantity import parse_quantity

    durations = [_DURATION.fullmatch(text) for text in (one, other)]
    if all(found and found[0] for found in durations):
        seconds = [sum(int(n or 0) * s for n, s in zip(f.groups(), (3600, 60, 1), strict=True)) for f in durations if f]
        if seconds[0] == seconds[1]:
            return True
    try:
        return bool(parse_quantity(one) == parse_quantity(other))
    except ValueError:
        return False


def _name_of(member: Any) -> str:
    """What tells a member of a list from the others: its name, the path it is mounted at, its key, its port."""
    if not isinstance(member, dict):
        return ""
    return next((f"{k}={member[k]}" for k in ("name", "mountPath", "key", "containerPort", "type") if k in member), "")
