"""Schemas: Kubernetes' own by kubernetes-validate, custom kinds by the CRDs in a folder; both strictly.

A CRD's schema is turned into a strict JSON Schema: an object takes no key that it does not name (the API server would
drop such a key without a word). Rules in CEL are not evaluated.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.36"


class Schemas:
    """Validates objects; remembers by content, since overlays share most of theirs."""

    def __init__(self, crds: Path | None) -> None:
        self.crds = read_crds(crds) if crds else {}
        self._seen: dict[str, list[str]] = {}

    def check(self, thing: dict[str, Any]) -> list[str]:
        """What is wrong with the object; an unknown kind is."""
        key = hashlib.sha256(json.dumps(thing, sort_keys=True, default=str).encode()).hexdigest()
        if key not in self._seen:
            self._seen[key] = self._check(thing)
        return self._seen[key]

    def is_namespaced(self, thing: dict[str, Any]) -> bool:
        """Whether the kind lives in a namespace."""
        crd = self.crds.get((thing["apiVersion"], thing["kind"]))
        return crd["namespaced"] if crd else thing["kind"] not in CLUSTER_KINDS

    def _check(self, thing: dict[str, Any]) -> list[str]:
        crd = self.crds.get((thing.get("apiVersion", ""), thing.get("kind", "")))
        if crd:
            errors = sorted(
                validator(crd["file"], crd["version"]).iter_errors(thing), key=lambda e: list(map(str, e.path))
            )
            return [f"{'.'.join(map(str, error.path)) or 'object'}: {error.message[:300]}" for error in errors]
        try:
            kubernetes_validate.validate(thing, KUBERNETES, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            return [f"no schema for {thing.get('apiVersion')} {thing.get('kind')}"]
        except kubernetes_validate.ValidationError as error:
            return [f"{'.'.join(map(str, error.path))}: {error.message[:300]}"]
        return []


CLUSTER_KINDS = {
    "Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass",
    "CustomResourceDefinition", "RuntimeClass",
}  # fmt: skip


def read_crds(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) → where its schema is, for every served version of every CRD under `folder`.

    Only a file that defines a group and kind is parsed, and only when an object of it is met: parsing them all takes
    a quarter of a minute.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for file in sorted(folder.rglob("*.yaml")):
        text = file.read_text(encoding="utf-8")
        group, kind = re.search(r"^  group: (\S+)$", text, re.M), re.search(r"^    kind: (\S+)$", text, re.M)
        scope = re.search(r"^  scope: (\S+)$", text, re.M)
        if not (group and kind and scope):
            continue
        for version in set(re.findall(r"^ {2,6}(?:- )?name: (v\d\w*)$", text, re.M)):
            entry = {"file": file, "version": version, "namespaced": scope[1] == "Namespaced"}
            found[f"{group[1]}/{version}", kind[1]] = entry
    return found


@functools.cache
def validator(file: Path, version: str) -> jsonschema.Draft202012Validator:
    """The strict validator of one version of the CRD in `file`."""
    documents = yaml.load_all(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    crd = next(c for c in documents if c and c.get("kind") == "CustomResourceDefinition")
    found = next(v for v in crd["spec"]["versions"] if v["name"] == version and v["served"])
    schema = make_strict(found["schema"]["openAPIV3Schema"])
    schema.setdefault("properties", {}).update(dict.fromkeys(("apiVersion", "kind", "metadata"), True))
    return jsonschema.Draft202012Validator(schema)


def make_strict(schema: Any) -> Any:
    """An OpenAPI v3 structural schema as JSON Schema in which objects take only the keys they name."""
    if not isinstance(schema, dict):
        return schema
    strict = {key: value for key, value in schema.items() if not key.startswith("x-") and key not in DROPPED}
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
        strict["type"] = ["integer", "string"]
        strict.pop("anyOf", None)
        strict.pop("pattern", None)  # it is for the string alone, and jsonschema applies it to strings only
        if "pattern" in schema:
            strict["pattern"] = schema["pattern"]
    for key in ("properties", "patternProperties"):
        if key in schema:
            strict[key] = {name: make_strict(value) for name, value in schema[key].items()}
    for key in ("items", "additionalProperties", "not"):
        if key in schema:
            strict[key] = make_strict(schema[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in strict:
            strict[key] = [{k: v for k, v in part.items() if not k.startswith("x-")} for part in schema[key]]
    if schema.get("nullable") and "type" in strict:
        kinds = strict["type"] if isinstance(strict["type"], list) else [strict["type"]]
        strict["type"] = [*kinds, "null"]
    closed = "properties" in schema and "additionalProperties" not in schema
    if (
        closed
        and not schema.get("x-kubernetes-preserve-unknown-fields")
        and not schema.get("x-kubernetes-embedded-resource")
    ):
        strict["additionalProperties"] = False
    return strict


DROPPED = {"description", "default", "example", "nullable", "format", "externalDocs", "title"}
