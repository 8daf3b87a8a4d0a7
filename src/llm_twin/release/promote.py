"""`twin release promote`: a version into an environment's release file, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml

from llm_twin.errors import InputError
from llm_twin.release.create import release_path
from llm_twin.release.files import Canary, Release, read_release, write_release
from llm_twin.release.repository import require_clean

Environment = Literal["staging", "prod"]


def overlay_path(root: Path, environment: str) -> Path:
    """The environment's release file."""
    return root / "kustomize" / "overlays" / environment / "release.yaml"


def promote_release(root: Path, version: str, to: Environment, canary_percent: int = 0) -> Path:
    """Write the overlay's release file; returns its path. With `canary_percent` the version's model becomes the canary
    beside what runs now; without, the version replaces what runs.

    Raises InputError for a dirty tree, an unknown version, prod before staging, images without a digest in prod, and a
    canary that the overlay cannot split traffic for.
    """
    require_clean(root)
    source = release_path(root, version)
    if not source.is_file():
        known = sorted(path.stem for path in (root / "releases").glob("*.yaml"))
        raise InputError(
            f"no release {version}", f"`twin release create {version}` makes it; there are: {known or 'none'}"
        )
    release = read_release(source)
    target = overlay_path(root, to)
    if to == "prod":
        _require_fit_for_prod(root, release)
    if canary_percent:
        if not 0 < canary_percent < 100:
            raise InputError(
                f"a canary of {canary_percent} percent", "give 1 to 99; without --canary it gets everything"
            )
        require_canary(root, to)
        release = with_canary(read_release(target), release, canary_percent)
    else:
        canary = Canary(version=release.version, modelUri=release.model.uri)
        release = release.model_copy(update={"canary": canary})
    write_release(target, release)
    return target


def with_canary(running: Release, candidate: Release, percent: int) -> Release:
    """What runs now, with the candidate's model as a canary of `percent`."""
    if running.version == candidate.version:
        raise InputError(f"{candidate.version} runs already", "a canary is another version than the one that runs")
    canary = Canary(percent=percent, remainder=100 - percent, version=candidate.version, modelUri=candidate.model.uri)
    return running.model_copy(update={"canary": canary})


def require_canary(root: Path, environment: str) -> None:
    """Raises InputError unless the overlay splits traffic in the way in which it serves."""
    file = overlay_path(root, environment).with_name("kustomization.yaml")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    listed = {Path(path).name for path in content.get("components", [])}
    knative = "knative" in listed
    right, wrong = ("canary-knative", "canary") if knative else ("canary", "canary-knative")
    how = (
        "Knative serves: KServe splits by canaryTrafficPercent" if knative else "plain Deployments serve: weights split"
    )
    if wrong in listed:
        raise InputError(f"{environment} lists the component {wrong!r}, but {how}", f"list {right!r} instead")
    if right not in listed:
        raise InputError(
            f"{environment} cannot split traffic ({how})", f"add ../../components/{right} to {file.relative_to(root)}"
        )


def _require_fit_for_prod(root: Path, release: Release) -> None:
    staged = read_release(overlay_path(root, "staging"))
    if staged.version != release.version:
        raise InputError(
            f"staging runs {staged.version}, not {release.version}: prod gets what staging has tried",
            f"`twin release promote {release.version} --to staging` first",
        )
    tried, asked = (found.model_dump(exclude={"canary"}) for found in (staged, release))
    changed = sorted(name for name in asked if tried[name] != asked[name])
    if changed:
        raise InputError(
            f"staging's {release.version} is not what releases/{release.version}.yaml says: {', '.join(changed)}",
            "one of the two was changed by hand: make the next version, and promote that to staging first",
        )
    if release.images.unpinned:
        raise InputError(
            f"{release.version} names images without a digest: {', '.join(release.images.unpinned)}",
            "push the images, and create the release again under the next version without --allow-tags",
        )
    if release.code is None:
        raise InputError(f"{release.version} names no commit", "make it with `twin release create`")
