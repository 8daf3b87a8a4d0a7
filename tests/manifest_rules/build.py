"""Which kustomizations there are, and building them: `kubectl kustomize` or `kustomize`, version 5."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ("dev", "staging", "prod")
# What each component needs beside it, and what it cannot stand beside. What an overlay lists already counts.
NEEDS = {
    "tls": {"gateway"},
    "canary": {"gateway"},
    "shadow": {"gateway"},
    "scale-to-zero": {"knative"},
    "canary-knative": {"knative"},
}
EXCLUDES = (
    {"cpu", "vllm"},  # one predictor
    {"cpu", "adapters"},  # the seedling comes alone
    {"cpu", "spot-gpu"},
    {"cpu", "model-cache"},
    {"cpu", "knative"},  # it trains in an init container
    {"cpu", "canary"},  # both would be the same seedling
    {"cpu", "shadow"},
    {"adapters", "canary"},  # a release's canary is a model, not an adapter
    {"adapters", "shadow"},
    {"adapters", "canary-knative"},
    {"adapters", "model-cache"},
    {"canary", "shadow"},
    {"canary", "knative"},  # weights are for plain Deployments,
    {"shadow", "knative"},
    {"gateway", "knative"},  # and Knative has its own way in
    {"autoscaling", "knative"},  # Knative scales by itself
)
# In the order in which they must be listed: a component changes what stands before it.
OPTIONS = (
    "single-node", "gateway", "tls", "canary", "shadow", "knative", "scale-to-zero", "canary-knative", "vllm",
    "adapters", "cpu", "autoscaling", "spot-gpu", "kueue", "monitoring", "model-cache",
)  # fmt: skip
# What these change, no other option changes (a test holds that): they are built alone and with the fullest mixes,
# which stands for every mix.
APART = {"autoscaling", "kueue", "model-cache", "monitoring", "single-node", "spot-gpu"}


class BuildError(Exception):
    """kustomize refused, or there is none."""


def find_kustomize() -> list[str] | None:
    """The command that builds a folder: $KUSTOMIZE, `kustomize build`, or `kubectl kustomize`; None without one ≥ 5."""
    local = ROOT / ".tools" / "bin" / "kustomize"
    candidates = [
        *([[os.environ["KUSTOMIZE"], "build"]] if os.environ.get("KUSTOMIZE") else []),
        *([[os.environ["KUBECTL"], "kustomize"]] if os.environ.get("KUBECTL") else []),
        ["kubectl", "kustomize"],
        ["kustomize", "build"],
        [str(local), "build"],
    ]
    for command in candidates:
        if shutil.which(command[0]) and _is_new_enough(command):
            return command
    return None


def _is_new_enough(command: list[str]) -> bool:
    """Version 5 or later; Debian's build does not say its version, so what counts then is that it builds an overlay."""
    asked = [command[0], "version", *(["--client"] if command[1] == "kustomize" else [])]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"Kustomize Version: v?(\d+)\." if command[1] == "kustomize" else r"^v?(\d+)\.", said)
    if found:
        return int(found[1]) >= 5
    return not subprocess.run([*command, str(ROOT / "kustomize/overlays/dev")], capture_output=True).returncode


def build(folder: Path, command: list[str]) -> list[dict[str, Any]]:
    """The objects of a kustomization. Raises BuildError with kustomize's own words."""
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise BuildError(done.stderr.strip())
    if done.stderr.strip():
        raise BuildError(f"warnings: {done.stderr.strip()}")
    return [found for found in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if found]


def listed_components(overlay: str, root: Path = ROOT) -> list[str]:
    """The components that an overlay lists itself."""
    content = yaml.safe_load((root / "kustomize/overlays" / overlay / "kustomization.yaml").read_text())
    return [Path(path).name for path in content.get("components", [])]


def combinations(overlay: str) -> list[tuple[str, ...]]:
    """Every allowed set of options to add to `overlay`, in listing order; the empty one first."""
    listed = set(listed_components(overlay))
    free = [name for name in OPTIONS if name not in listed]
    mixed = [name for name in free if name not in APART]
    found = []
    for bits in range(1 << len(mixed)):
        chosen = tuple(name for number, name in enumerate(mixed) if bits >> number & 1)
        if is_allowed(listed | set(chosen)):
            found.append(chosen)
    alone = [(name,) for name in free if name in APART and is_allowed(listed | {name})]
    apart = {name for name in free if name in APART}
    full = [
        tuple(name for name in free if name in {*chosen, *apart} and is_allowed(listed | {*chosen, name}))
        for chosen in found
        if not any(set(chosen) < set(other) for other in found)
    ]
    return list(dict.fromkeys(sorted([*found, *alone, *full], key=len)))


def is_allowed(components: set[str]) -> bool:
    """Whether these components may stand together."""
    needed = all(NEEDS.get(name, set()) <= components for name in components)
    return needed and not any(pair <= components for pair in EXCLUDES)


def write_combination(overlay: str, chosen: tuple[str, ...], folder: Path, root: Path = ROOT) -> Path:
    """A copy of the overlay in `folder` that lists the options `chosen` too; returns its path."""
    source = root / "kustomize/overlays" / overlay
    target = folder / "kustomize/overlays" / "-".join((overlay, *chosen))
    for name in ("manifests", "kustomize/base", "kustomize/components", "kustomize/transformers"):
        if not (folder / name).exists():
            shutil.copytree(root / name, folder / name)
    shutil.copytree(source, target, dirs_exist_ok=True)
    file = target / "kustomization.yaml"
    content = yaml.safe_load(file.read_text())
    content["components"] = [*content.get("components", []), *(f"../../components/{name}" for name in chosen)]
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return target
