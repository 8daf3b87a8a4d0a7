"""Models in MLflow's registry: versions with lineage, metrics, a card, a signature, and an export that KServe takes.

A model's content has one address: <exports>/<author>-<kind>/<digest>. An address is written once and never changed,
so what an alias points at cannot change under a server, and registering the same content again finds the version.
KServe's storage initializer knows file and object-store addresses but not MLflow's `models:/`.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from llm_twin.digests import digest_path
from llm_twin.errors import InputError, StoreError
from llm_twin.training.cards import write_card

Kind = Literal["adapter", "quantized", "merged"]
CHAMPION, CHALLENGER = "champion", "challenger"
CHAMPION_SINCE = "champion_since"  # a version's tag: when it last became champion


@dataclass(frozen=True)
class Registered:
    """One registered version."""

    name: str
    version: str
    kind: str
    digest: str
    uri: str  # immutable: file:// or s3://
    run_id: str
    aliases: tuple[str, ...] = ()


def model_name(author: str, kind: Kind) -> str:
    """The registered model's name, such as `odalys-fenwick-adapter`."""
    return f"{author}-{kind}"


def register_model(
    tracking_uri: str,
    author: str,
    kind: Kind,
    folder: Path,
    exports: str,
    lineage: dict[str, str],
    metrics: dict[str, float],
    parent_run: str = "",
) -> Registered:
    """Export `folder` under the address `exports` (a folder or s3://…) and register it; the same content only once.

    `lineage` names what it was made of: base_model, base_digest, samples_digest, recipe_hash …  Raises StoreError
    when the registry or the export address refuses.
    """
    client = _client(tracking_uri)
    name, digest = model_name(author, kind), digest_path(folder)
    found = _find_digest(client, name, digest)
    if found is not None:
        return _as_registered(client, found)
    from llm_twin.tracing import open_experiment
    from llm_twin.training.tracking import EXPERIMENT

    experiment = open_experiment(tracking_uri, EXPERIMENT)
    parent = parent_run or _parent_run(client, experiment, lineage)
    tags = {**lineage, "kind": kind, "digest": digest, "author": author}
    run = client.create_run(
        experiment, run_name=f"register {name}", tags={**tags, **({"mlflow.parentRunId": parent} if parent else {})}
    )
    for metric, value in metrics.items():
        client.log_metric(run.info.run_id, metric, float(value))
    uri = export_folder(folder, exports, name, digest, kind, {**lineage, "author": author}, metrics)
    from mlflow.exceptions import MlflowException

    try:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, tags={"author": author, "kind": kind})
        version = client.create_model_version(
            name, source=uri, run_id=run.info.run_id, tags={**tags, "export_uri": uri}, description=_describe(lineage)
        )
    except MlflowException as error:
        raise StoreError(f"the registry refused {name}: {error}", "check LLM_TWIN_MLFLOW_TRACKING_URI") from error
    client.set_terminated(run.info.run_id)
    return _as_registered(client, version)


def promote(tracking_uri: str, name: str, version: str, alias: str = CHAMPION) -> None:
    """Point `alias` of a registered model at a version; raises InputError when there is no such version."""
    from mlflow.exceptions import MlflowException

    client = _client(tracking_uri)
    try:
        client.set_registered_model_alias(name, alias, version)
        if alias == CHAMPION:  # what `demote` goes back by
            client.set_model_version_tag(name, version, CHAMPION_SINCE, datetime.now(UTC).isoformat())
    except MlflowException as error:
        raise InputError(f"no version {version} of {name}", "`twin models` lists them") from error


def demote(tracking_uri: str, name: str, version: str) -> str:
    """Take the champion's alias from a version and give it to the champion before; return that one's number.

    A version that is not champion is left alone. Where there was no champion before, the alias goes, and "" is
    returned.
    """
    client = _client(tracking_uri)
    model = client.get_registered_model(name)
    if str(model.aliases.get(CHAMPION, "")) != version:
        return str(model.aliases.get(CHAMPION, ""))
    client.delete_model_version_tag(name, version, CHAMPION_SINCE)
    versions = client.search_model_versions(f"name = '{name}'", max_results=1000)
    before = [one for one in versions if CHAMPION_SINCE in one.tags and str(one.version) != version]
    if not before:
        client.delete_registered_model_alias(name, CHAMPION)
        return ""
    last = str(max(before, key=lambda one: one.tags[CHAMPION_SINCE]).version)
    client.set_registered_model_alias(name, CHAMPION, last)
    return last


def find_model(tracking_uri: str, name: str, alias_or_version: str = CHAMPION) -> Registered:
    """The version that an alias points at, or that has a number; raises InputError when there is none."""
    from mlflow.exceptions import MlflowException

    client = _client(tracking_uri)
    try:
        if alias_or_version.isdigit():
            version = client.get_model_version(name, alias_or_version)
        else:
            version = client.get_model_version_by_alias(name, alias_or_version)
    except MlflowException as error:
        raise InputError(f"no {alias_or_version!r} of {name} is registered", "`twin models` lists them") from error
    return _as_registered(client, version)


def list_models(tracking_uri: str, author: str = "") -> list[Registered]:
    """All registered versions (of one author), newest first within a name."""
    client = _client(tracking_uri)
    found = []
    for model in client.search_registered_models(max_results=1000):
        if "kind" not in model.tags or (author and model.tags.get("author") != author):
            continue
        versions = client.search_model_versions(f"name = '{model.name}'", max_results=1000)
        found += [_as_registered(client, v) for v in sorted(versions, key=lambda v: -int(v.version))]
    return found


def read_lineage(tracking_uri: str, name: str, version: str) -> dict[str, Any]:
    """Everything known of a version: tags (lineage), metrics of its run, aliases, parent run."""
    client = _client(tracking_uri)
    found = find_model(tracking_uri, name, version)
    tags = dict(client.get_model_version(name, found.version).tags)
    run = client.get_run(found.run_id)
    return {
        **asdict(found),
        "lineage": {key: value for key, value in sorted(tags.items()) if key not in {"export_uri", "digest", "kind"}},
        "metrics": dict(run.data.metrics),
        "parent_run": run.data.tags.get("mlflow.parentRunId", ""),
    }


def split_reference(reference: str) -> tuple[str, str]:
    """NAME@ALIAS or NAME@VERSION as a pair; without @, the champion."""
    name, _, which = reference.partition("@")
    return name, which or CHAMPION


def compare_models(tracking_uri: str, first: str, second: str) -> dict[str, tuple[float | None, float | None]]:
    """Metrics of two versions, each NAME@ALIAS or NAME@VERSION, side by side."""
    ours = read_lineage(tracking_uri, *split_reference(first))["metrics"]
    theirs = read_lineage(tracking_uri, *split_reference(second))["metrics"]
    return {metric: (ours.get(metric), theirs.get(metric)) for metric in sorted({*ours, *theirs})}


def export_folder(
    folder: Path,
    exports: str,
    name: str,
    digest: str,
    kind: str,
    lineage: dict[str, str],
    metrics: dict[str, float],
) -> str:
    """Copy `folder`, with its card and MLmodel file, to its address under `exports`; returns the address.

    Local exports are written beside and moved, so a half-written one cannot be seen. For s3:// and the like MLflow's
    own artifact stores do the copying. Raises StoreError.
    """
    scheme = urlparse(exports).scheme
    root = Path(exports.removeprefix("file://")).expanduser() if scheme in {"", "file"} else None
    if root is not None and (root / name / digest / "MLmodel").is_file():
        return (root / name / digest).absolute().as_uri()
    staging = (root or Path(os.environ.get("TMPDIR", "/tmp"))) / name / f".{digest}.{os.getpid()}.part"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        shutil.copytree(folder, staging)
        write_card(staging, name, kind, lineage, metrics)
        _write_mlmodel(staging, kind)
        if root is not None:
            target = (root / name / digest).absolute()
            staging.replace(target)
            return target.as_uri()
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = f"{exports.rstrip('/')}/{name}/{digest}"
        get_artifact_repository(uri).log_artifacts(str(staging))
        return uri
    except (OSError, ImportError) as error:
        raise StoreError(
            f"cannot export {name} to {exports}: {error}", "check the address and its credentials"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_mlmodel(folder: Path, kind: str) -> None:
    """An MLmodel file with the signature: chat messages in, a text out."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Object, Property, Schema

    message = Object([Property("role", DataType.string), Property("content", DataType.string)])
    signature = ModelSignature(
        inputs=Schema([ColSpec(Array(message), "messages")]), outputs=Schema([ColSpec(DataType.string, "content")])
    )
    model = Model(signature=signature, utc_time_created="1970-01-01 00:00:00", model_uuid="0" * 32)
    model.add_flavor("llm_twin", kind=kind, format="gptq" if kind == "quantized" else "safetensors")
    model.save(str(folder / "MLmodel"))


def _client(tracking_uri: str) -> Any:
    from llm_twin.tracing import open_experiment
    from llm_twin.training.tracking import EXPERIMENT

    open_experiment(tracking_uri, EXPERIMENT)
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def _find_digest(client: Any, name: str, digest: str) -> Any:
    found = client.search_model_versions(f"name = '{name}' AND tag.digest = '{digest}'")
    return found[0] if found else None


def _parent_run(client: Any, experiment: str, lineage: dict[str, str]) -> str:
    """The training run that made it, by the tag its step set; empty where training was not tracked."""
    digest = lineage.get("adapter_digest", "")
    if not digest:
        return ""
    runs = client.search_runs([experiment], f"tags.output_digest = '{digest}'", max_results=1)
    return str(runs[0].info.run_id) if runs else ""


def _as_registered(client: Any, version: Any) -> Registered:
    model = client.get_registered_model(version.name)
    aliases = tuple(sorted(alias for alias, number in model.aliases.items() if str(number) == str(version.version)))
    return Registered(
        name=version.name,
        version=str(version.version),
        kind=version.tags.get("kind", ""),
        digest=version.tags.get("digest", ""),
        uri=version.tags.get("export_uri", version.source),
        run_id=version.run_id,
        aliases=aliases,
    )


def _describe(lineage: dict[str, str]) -> str:
    return ", ".join(f"{key} {value[:40]}" for key, value in sorted(lineage.items()))


def read_export(folder: Path) -> dict[str, Any]:
    """The run record that training left in an adapter's folder; empty where there is none."""
    path = folder / "training.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
