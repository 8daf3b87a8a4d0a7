"""Versions of data sets: immutable, addressed by content, numbered by SemVer, and marked when a source is forgotten.

A store is a folder: content/<digest>/ holds each data set once, read-only; <name>/<version>.json says what a version
is; <name>/forgotten.json marks the versions that hold forgotten documents.

What a number says: MAJOR, figures on the test split are no longer comparable (a document changed its split, or the
format did); MINOR, documents came, went or changed; PATCH, other samples of the same documents. Equal content is no
new version.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from llm_twin import __version__
from llm_twin.datasets.manifest import read_manifest
from llm_twin.digests import digest_path
from llm_twin.documents import stable_id
from llm_twin.errors import InputError, StoreError

MARKS = "forgotten.json"


class DatasetVersion(BaseModel):
    """One version: where it is, what it was made from, and since when it exists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: str
    content: str  # digest of the samples alone
    folder_digest: str  # of the whole folder: the samples_digest in models' lineage
    parent: str | None
    created: datetime
    code: str  # package version, and commit where there is a repository
    counts: dict[str, Any]
    forgotten: list[str] = []  # ids of documents in it that were forgotten since

    @property
    def number(self) -> tuple[int, int, int]:
        """The version as numbers."""
        major, minor, patch = self.version.split(".")
        return int(major), int(minor), int(patch)


def publish_version(folder: Path, store: Path, code: str = "") -> DatasetVersion:
    """Put a data set into the store and number it; the same content again is the version that it has already.

    `code` is the commit it was made by, if known. Raises InputError when `folder` is no data set, or was changed.
    """
    manifest = read_manifest(folder)
    name = dataset_name(manifest)
    versions = list_versions(store, name)
    for known in versions:
        if known.content == manifest["content"]:
            return known
    digest = _keep_content(folder, store)
    while True:
        parent = versions[-1] if versions else None
        version = DatasetVersion(
            name=name,
            version=_next_number(parent, manifest, store),
            content=manifest["content"],
            folder_digest=digest,
            parent=parent.version if parent else None,
            created=datetime.now(UTC),
            code=f"llm-twin {__version__}{f', commit {code}' if code else ''}",
            counts=manifest["counts"],
        )
        path = store / name / f"{version.version}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(version.model_dump_json(indent=2, exclude={"forgotten"}) + "\n")
        except FileExistsError:  # another run took the number first
            versions = list_versions(store, name)
            continue
        return version


def dataset_name(manifest: dict[str, Any]) -> str:
    """The name that versions are counted under: the author's id, or a name made of several."""
    authors = manifest["authors"]
    return authors[0] if len(authors) == 1 else f"authors-{stable_id(*authors, length=8)}"


def list_versions(store: Path, name: str) -> list[DatasetVersion]:
    """A data set's versions, oldest first."""
    marks = _read_marks(store / name)
    found = []
    for path in (store / name).glob("*.*.*.json"):
        try:
            version = DatasetVersion.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} is not a version record: {error}", "restore it from a backup") from error
        found.append(version.model_copy(update={"forgotten": sorted(marks.get(version.version, []))}))
    return sorted(found, key=lambda version: version.number)


def list_names(store: Path) -> list[str]:
    """The names of all data sets in the store."""
    return sorted(p.name for p in store.glob("*") if p.is_dir() and p.name != "content" and list(p.glob("*.*.*.json")))


def find_version(store: Path, name: str, wanted: str = "latest") -> DatasetVersion:
    """A version by its number, by the beginning of its content digest, or the latest. Raises InputError."""
    versions = list_versions(store, name)
    if wanted == "latest" and versions:
        return versions[-1]
    found = [v for v in versions if v.version == wanted or (len(wanted) >= 6 and v.content.startswith(wanted))]
    if len(found) != 1:
        known = ", ".join(version.version for version in versions) or "none"
        raise InputError(f"no version {wanted!r} of the data set {name!r}", f"known versions: {known}")
    return found[0]


def version_folder(store: Path, version: DatasetVersion) -> Path:
    """The folder with a version's files. Raises InputError when it was purged."""
    folder = store / "content" / version.folder_digest
    if not folder.is_dir():
        raise InputError(f"{version.name} {version.version} was purged from the store", "build the data set again")
    return folder


def mark_forgotten(store: Path, document_ids: Iterable[str], purge: bool = False) -> list[DatasetVersion]:
    """Mark every version that holds one of the documents; returns those versions, with their marks.

    The next build has none of the documents because the warehouse no longer has them. `purge` also deletes the
    marked versions' files; their records stay, so that models trained on them can still be told.
    """
    wanted = set(document_ids)
    marked: list[DatasetVersion] = []
    for name in list_names(store):
        marks = _read_marks(store / name)
        for version in list_versions(store, name):
            folder = store / "content" / version.folder_digest
            held = set(version.forgotten)
            if folder.is_dir():
                held |= wanted & {source["document_id"] for source in read_manifest(folder)["sources"]}
            if not held & wanted:
                continue
            marks[version.version] = sorted(held)
            marked.append(version.model_copy(update={"forgotten": sorted(held)}))
            if purge and folder.is_dir():
                _remove(folder)
        _write_beside(store / name / MARKS, json.dumps(marks, indent=2, sort_keys=True) + "\n")
    return marked


def find_trained(versions: Iterable[DatasetVersion], lineages: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
    """Names of the models whose lineage (model name, tags) holds the digest of one of these versions."""
    digests = {digest for version in versions for digest in (version.folder_digest, version.content)}
    return sorted({model for model, tags in lineages if digests & {str(value) for value in tags.values()}})


def _keep_content(folder: Path, store: Path) -> str:
    """Copy the folder to its digest's address, read-only; once."""
    digest = digest_path(folder)
    target = store / "content" / digest
    if not target.is_dir():
        beside = target.with_name(f".{digest}.{os.getpid()}")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(folder, beside)
        for path in beside.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            beside.rename(target)
        except OSError as error:  # another run put the same content there first
            _remove(beside)
            if not target.is_dir():
                raise StoreError(f"cannot write {target}: {error}", "check disk and permissions") from error
    return digest


def _next_number(parent: DatasetVersion | None, manifest: dict[str, Any], store: Path) -> str:
    if parent is None:
        return "1.0.0"
    major, minor, patch = parent.number
    folder = store / "content" / parent.folder_digest
    if not folder.is_dir():
        return f"{major + 1}.0.0"
    before = read_manifest(folder)
    was = {source["document_id"]: source for source in before["sources"]}
    now = {source["document_id"]: source for source in manifest["sources"]}
    moved = any(was[name]["split"] != now[name]["split"] for name in was.keys() & now.keys())
    if moved or before["format"] != manifest["format"]:
        return f"{major + 1}.0.0"
    same = {name: s["revision_id"] for name, s in was.items()} == {name: s["revision_id"] for name, s in now.items()}
    return f"{major}.{minor}.{patch + 1}" if same else f"{major}.{minor + 1}.0"


def _read_marks(folder: Path) -> dict[str, list[str]]:
    path = folder / MARKS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write_beside(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)
