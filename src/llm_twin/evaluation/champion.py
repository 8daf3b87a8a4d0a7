"""The model now in service, found again so that it can answer the challenger's prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from llm_twin.digests import digest_path
from llm_twin.errors import InputError, StoreError
from llm_twin.training.registry import CHAMPION, find_model, model_name, read_lineage

NAME = "champion"
NOBODY = "none"


@dataclass(frozen=True)
class Found:
    """The champion's adapter (None: it cannot or need not be asked), and why."""

    adapter: Path | None
    note: str


@dataclass(frozen=True)
class Adapters:
    """Candidates' adapters by name, the champion among them where there is one to ask, and notes for the report."""

    folders: dict[str, Path]
    notes: tuple[str, ...]


def with_champion(adapters: dict[str, Path], tracking_uri: str, author: str, base: Path, cache: Path) -> Adapters:
    """The adapters (the last is the challenger), and the champion's where it can answer the same prompts."""
    found = find_champion(tracking_uri, author, base, list(adapters.values())[-1], cache)
    folders = adapters | ({NAME: found.adapter} if found.adapter else {})
    return Adapters(folders, (found.note,))


def find_champion(tracking_uri: str, author: str, base: Path, candidate: Path, cache: Path) -> Found:
    """The champion's adapter in a local folder, if it stands on the same base and is another than `candidate`.

    One kept in an object store is brought to `cache` once.
    """
    try:
        found = find_model(tracking_uri, model_name(author, "adapter"), CHAMPION)
    except InputError:
        return Found(None, "there is no champion yet")
    if found.digest == digest_path(candidate):
        return Found(None, "the challenger is the champion itself: the same adapter")
    lineage = read_lineage(tracking_uri, found.name, found.version)["lineage"]
    if lineage.get("base_digest") != digest_path(base):
        return Found(None, "the champion stands on another base model: compared by what was measured of it then")
    try:
        return Found(fetch_folder(found.uri, cache / found.digest), f"the champion is version {found.version}")
    except StoreError as error:
        return Found(None, f"the champion could not be asked: {error.message}; compared by what was measured then")


def name_champion(tracking_uri: str, author: str, candidate: Path) -> str:
    """The digest of the champion's adapter, if it is another than `candidate`; `none` otherwise.

    A cache key for the steps that compare with the champion: no champion yet and the candidate being champion
    already ask nothing of them, so both are `none`, and a run with nothing changed stays cached.
    """
    try:
        found = find_model(tracking_uri, model_name(author, "adapter"), CHAMPION)
    except InputError:
        return NOBODY
    return NOBODY if found.digest == digest_path(candidate) else found.digest


def fetch_folder(uri: str, target: Path) -> Path:
    """A registered model's folder: a local address as it is, another copied to `target`. Raises StoreError."""
    parts = urlparse(uri)
    if parts.scheme in ("", "file"):
        folder = Path(unquote(parts.path))
        if not folder.is_dir():
            raise StoreError(f"{uri} is not there", "check LLM_TWIN_MLFLOW_EXPORTS")
        return folder
    if target.is_dir():
        return target
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    beside = target.with_name(f".{target.name}.part")
    beside.mkdir(parents=True, exist_ok=True)
    try:
        got = Path(download_artifacts(artifact_uri=uri, dst_path=str(beside)))
    except (MlflowException, OSError, ImportError) as error:
        raise StoreError(f"cannot fetch {uri}: {error}", "check the object store's address and keys") from error
    got.replace(target)
    return target
