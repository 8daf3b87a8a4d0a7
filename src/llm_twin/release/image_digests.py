"""Digests of images, read from their registry: the OCI distribution API, with its token challenge.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

from llm_twin.errors import InputError, ServiceError

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Reference:
    """`registry/name:tag`."""

    registry: str
    name: str
    tag: str


def parse_reference(image: str) -> Reference:
    """An image reference taken apart. Raises InputError if it lacks a registry or a tag."""
    registry, _, rest = image.partition("@")[0].partition("/")
    name, _, tag = rest.rpartition(":")
    if not name or not ("." in registry or ":" in registry or registry == "localhost"):
        raise InputError(f"{image!r} is no image with registry and tag", "give it as registry/name:tag")
    return Reference(registry, name, tag)


def read_digest(image: str, docker_config: Path | None = None) -> str:
    """The image as `registry/name:tag@sha256:…`, the digest being what the registry has under that tag now.

    Credentials come from `docker login`'s file. Raises InputError for a tag that is not there, ServiceError for a
    registry that does not answer.
    """
    import httpx

    reference = parse_reference(image)
    local = re.match(r"^(localhost|127\.|\[::1\])", reference.registry)
    url = f"{'http' if local else 'https'}://{reference.registry}/v2/{reference.name}/manifests/{reference.tag}"
    headers = {"Accept": ", ".join(MANIFESTS)}
    basic = _stored_login(reference.registry, docker_config or Path("~/.docker/config.json").expanduser())
    try:
        with httpx.Client(timeout=30, follow_redirects=True) as client:
            answer = client.head(url, headers=headers)
            if answer.status_code == 401:
                headers["Authorization"] = _authorize(client, answer.headers.get("www-authenticate", ""), basic)
                answer = client.head(url, headers=headers)
    except httpx.HTTPError as error:
        raise ServiceError(
            f"the registry {reference.registry} does not answer: {error}", "is its name right?"
        ) from error
    if answer.status_code == 404:
        raise InputError(
            f"{reference.registry} has no {reference.name}:{reference.tag}", "build and push the images first"
        )
    digest = answer.headers.get("docker-content-digest", "")
    if answer.status_code != 200 or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ServiceError(
            f"{reference.registry} answered {answer.status_code} for {reference.name}:{reference.tag}",
            f"log in with `docker login {reference.registry}`",
        )
    return f"{reference.registry}/{reference.name}:{reference.tag}@{digest}"


def _authorize(client: object, challenge: str, basic: str) -> str:
    """The Authorization header that answers a challenge: Bearer by asking its realm for a token, else Basic."""
    import httpx

    assert isinstance(client, httpx.Client)
    fields = dict(_CHALLENGE.findall(challenge))
    if challenge.lower().startswith("bearer") and "realm" in fields:
        asked = {key: fields[key] for key in ("service", "scope") if key in fields}
        headers = {"Authorization": f"Basic {basic}"} if basic else {}
        found = client.get(fields["realm"], params=asked, headers=headers).raise_for_status().json()
        return f"Bearer {found.get('token') or found.get('access_token', '')}"
    return f"Basic {basic}"


def _stored_login(registry: str, file: Path) -> str:
    """`user:password` in base64 as `docker login` stored it; empty without."""
    try:
        auths = json.loads(file.read_text(encoding="utf-8")).get("auths", {})
    except (OSError, ValueError):
        return ""
    stored = str(auths.get(registry, {}).get("auth", ""))
    try:
        base64.b64decode(stored, validate=True)
    except ValueError:
        return ""
    return stored
