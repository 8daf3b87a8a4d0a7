"""The release file: what one environment runs, or what one version is made of; the same form for both.

`releases/VERSION.yaml` is a version, written once. `kustomize/overlays/ENV/release.yaml` is what an environment runs:
kustomize copies its values to where they are used (kustomize/components/release).
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llm_twin.errors import InputError

VERSION_PATTERN = r"^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$"
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_URI = r"^(s3|gs|hf|pvc|oci|https?)://[\w./:@-]+$"
HEADER = (
    "# Written by `twin release promote`: the one file in which this environment's version lives. "
    "`git revert` rolls back.\n"
)
VERSION_HEADER = "# Written by `twin release create`, once: what this version is made of.\n"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Code(_Part):
    """The commit that the images were built from."""

    commit: str = Field(pattern=r"^[0-9a-f]{40}$")


class Images(_Part):
    """Image references; by digest once they were read from a registry."""

    core: str
    train: str
    quantize: str

    @property
    def unpinned(self) -> list[str]:
        """Those without a digest."""
        return [image for image in (self.core, self.train, self.quantize) if not _DIGEST.search(image)]


class Model(_Part):
    """What the predictor loads: an address that holds one content for ever."""

    uri: str = Field(pattern=_URI)
    cacheName: str = Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")  # as Kubernetes writes names
    name: str = ""
    version: str = ""
    digest: str = ""


class Adapter(_Part):
    """The LoRA adapter and its base (empty where no hub or bucket has it), for the component `adapters`."""

    uri: str = Field(pattern=_URI)
    base: str = Field(pattern=rf"{_URI}|^$")
    name: str = ""
    version: str = ""
    digest: str = ""


class Versioned(_Part):
    """Something with a version: a prompt, an index, a data set."""

    version: str = Field(min_length=1)


class Canary(_Part):
    """A second model that gets some of the traffic; `remainder` is what the first one keeps."""

    percent: int = Field(default=0, ge=0, le=100)
    remainder: int = Field(default=100, ge=0, le=100)
    version: str = Field(pattern=VERSION_PATTERN)
    modelUri: str = Field(pattern=_URI)

    @model_validator(mode="after")
    def _adds_up(self) -> Canary:
        if self.percent + self.remainder != 100:
            raise ValueError(f"percent {self.percent} and remainder {self.remainder} do not add up to 100")
        return self


class Release(_Part):
    """A version and everything that it is made of."""

    version: str = Field(pattern=VERSION_PATTERN)
    author: str = ""
    code: Code | None = None
    images: Images
    model: Model
    adapter: Adapter
    prompt: Versioned
    index: Versioned
    data: Versioned | None = None
    canary: Canary


def read_release(path: Path) -> Release:
    """Read and validate a release file. Raises InputError that names the missing or wrong value."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())}", "restore it from git") from error
    if not isinstance(content, dict) or content.get("kind") != "Release" or not isinstance(content.get("spec"), dict):
        raise InputError(f"{path} is no release file", "restore it from git, or `twin release promote` writes it anew")
    try:
        return Release.model_validate(content["spec"])
    except ValidationError as error:
        first = error.errors()[0]
        place = "spec." + ".".join(map(str, first["loc"])) if first["loc"] else "spec"
        raise InputError(f"{path}: {place}: {first['msg']}", "give the value, or promote a version again") from error


def render_release(release: Release, header: str = HEADER) -> str:
    """The file's text; the same release gives the same bytes."""
    content = {
        "apiVersion": "llm-twin/v1",
        "kind": "Release",
        "metadata": {"name": "release", "annotations": {"config.kubernetes.io/local-config": "true"}},
        "spec": release.model_dump(exclude_none=True),
    }
    return header + yaml.safe_dump(content, sort_keys=False, width=200, allow_unicode=True)


def write_release(path: Path, release: Release, header: str = HEADER) -> None:
    """Write the file beside and move it: never half a release."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(render_release(release, header), encoding="utf-8")
    beside.replace(path)
