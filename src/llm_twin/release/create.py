"""`twin release create`: code, images, models, prompt, index and data of one version, in one file."""

from __future__ import annotations

import re
from pathlib import Path

from llm_twin.digests import digest_json
from llm_twin.errors import InputError, ServiceError
from llm_twin.prompts import prompt_version
from llm_twin.release.files import (
    VERSION_HEADER,
    VERSION_PATTERN,
    Adapter,
    Canary,
    Code,
    Images,
    Model,
    Release,
    Versioned,
    write_release,
)
from llm_twin.release.image_digests import read_digest
from llm_twin.release.repository import head_commit, require_clean

PROMPTS = ("twin_system", "twin_question")


def release_path(root: Path, version: str) -> Path:
    """Where a version's file lies. Raises InputError for what is no version."""
    if not re.match(VERSION_PATTERN, version):
        raise InputError(f"{version!r} is no version", "give one such as 1.4.0 or 1.4.0-rc.1")
    return root / "releases" / f"{version}.yaml"


def create_release(
    root: Path,
    version: str,
    author: str,
    images: dict[str, str],
    tracking_uri: str,
    alias: str = "champion",
    base_uri: str = "",
    allow_tags: bool = False,
) -> Path:
    """Write `releases/VERSION.yaml` from the registry's models at `alias` and the image registry's digests.

    `images` are the references of core, train and quantize with their tags. With `allow_tags` an image that no registry
    can be asked for keeps its tag; such a release cannot be promoted to prod. Raises InputError for a dirty tree, a
    version that exists, a model or an image that is not in its registry.
    """
    require_clean(root)
    path = release_path(root, version)
    if path.exists():
        raise InputError(
            f"the release {version} exists: {path.relative_to(root)}", "a version is made once: take the next"
        )
    release = describe_version(version, head_commit(root), author, images, tracking_uri, alias, base_uri, allow_tags)
    write_release(path, release, VERSION_HEADER)
    return path


def describe_version(
    version: str, commit: str, author: str, images: dict[str, str], tracking_uri: str, alias: str, base_uri: str,
    allow_tags: bool,
) -> Release:  # fmt: skip
    """The release that `create_release` writes."""
    from llm_twin.training.registry import find_model, model_name, read_lineage

    quantized = find_model(tracking_uri, model_name(author, "quantized"), alias)
    adapter = find_model(tracking_uri, model_name(author, "adapter"), alias)
    lineage = read_lineage(tracking_uri, quantized.name, quantized.version)["lineage"]
    if lineage.get("adapter_version", adapter.version) != adapter.version:
        raise InputError(
            f"{quantized.name} {quantized.version} was made from adapter {lineage['adapter_version']}, "
            f"but {alias!r} is adapter {adapter.version}",
            f"set the alias {alias!r} on both, or run the evaluation again",
        )
    for model in (quantized, adapter):
        if model.uri.startswith("file:"):
            raise InputError(
                f"{model.name} {model.version} lies at {model.uri}, where no cluster can read it",
                "set LLM_TWIN_MLFLOW_EXPORTS to an s3:// address and register it again",
            )
    base = base_uri or _hub_uri(
        read_lineage(tracking_uri, adapter.name, adapter.version)["lineage"].get("base_model", "")
    )
    pinned = {name: _pin(image, allow_tags) for name, image in images.items()}
    return Release(
        version=version,
        author=author,
        code=Code(commit=commit),
        images=Images(**pinned),
        model=Model(
            uri=quantized.uri, cacheName=f"{author[:40]}-{_short(quantized.digest)}", name=quantized.name,
            version=quantized.version, digest=quantized.digest,
        ),
        adapter=Adapter(
            uri=adapter.uri, base=base, name=adapter.name, version=adapter.version, digest=adapter.digest
        ),
        prompt=Versioned(version=digest_json({name: prompt_version(name) for name in PROMPTS})[:12]),
        index=Versioned(version=lineage.get("index") or "unknown"),
        data=Versioned(version=lineage.get("samples_digest") or "unknown"),
        canary=Canary(version=version, modelUri=quantized.uri),
    )  # fmt: skip


def _short(digest: str) -> str:
    return re.sub(r"[^0-9a-f]", "", digest.rpartition(":")[2])[:12] or "none"


def _hub_uri(base_model: str) -> str:
    return f"hf://{base_model}" if re.fullmatch(r"[\w.-]+/[\w.-]+", base_model) else ""


def _pin(image: str, allow_tags: bool) -> str:
    try:
        return read_digest(image)
    except (InputError, ServiceError):
        if allow_tags:
            return image
        raise
