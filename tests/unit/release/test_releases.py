"""Releases over a real git repository, a real MLflow registry on SQLite, and a container registry on loopback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from llm_twin.errors import InputError, ServiceError
from llm_twin.release.create import create_release
from llm_twin.release.files import read_release, render_release
from llm_twin.release.image_digests import parse_reference, read_digest
from llm_twin.release.promote import promote_release
from llm_twin.release.repository import find_root
from tests.unit.release.image_registry import digest_of, serve_registry

ROOT = Path(__file__).parents[3]
AUTHOR = "odalys-fenwick"
NAMES = ("core", "train", "quantize")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "kustomize", root / "kustomize")
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    commit(root, "begin")
    return root


def commit(root: Path, message: str) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", message)


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    known = {f"twin/llm-twin-{name}-python:{version}" for name in NAMES for version in ("1.0.0", "1.1.0")}
    with serve_registry(known) as address:
        yield address


def images(registry: str, version: str) -> dict[str, str]:
    return {name: f"{registry}/twin/llm-twin-{name}-python:{version}" for name in NAMES}


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with a champion (version 2 of both) that came from an adapter, and exports in a bucket."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.create_experiment("releases")
    for kind in ("adapter", "quantized"):
        name = f"{AUTHOR}-{kind}"
        client.create_registered_model(name, tags={"author": AUTHOR, "kind": kind})
        for number in ("1", "2"):
            run = client.create_run(experiment)
            source = f"s3://models/{name}/{kind}{number}"
            tags = {
                "kind": kind, "author": AUTHOR, "digest": f"sha256:{number * 64}", "export_uri": source,
                "samples_digest": "s" * 64, "index": "1f2e", "base_model": "meta-llama/Llama-3.1-8B-Instruct",
                "adapter_version": number,
            }  # fmt: skip
            client.create_model_version(name, source=source, run_id=run.info.run_id, tags=tags)
        client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(f"{AUTHOR}-quantized", "mixed", "1")
    client.set_registered_model_alias(f"{AUTHOR}-adapter", "mixed", "2")
    return uri


def make(clone: Path, registry: str, tracking: str, version: str, **options: object) -> Path:
    path = create_release(clone, version, AUTHOR, images(registry, version), tracking, **options)  # type: ignore[arg-type]
    commit(clone, f"release {version}")
    return path


def test_create_names_everything_by_what_it_is(clone: Path, registry: str, tracking: str) -> None:
    commit_before = git(clone, "rev-parse", "HEAD").strip()
    release = read_release(make(clone, registry, tracking, "1.0.0"))
    assert release.code and release.code.commit == commit_before
    name = "twin/llm-twin-core-python"
    assert release.images.core == f"{registry}/{name}:1.0.0@{digest_of(name, '1.0.0')}"
    assert (release.model.version, release.model.uri) == ("2", f"s3://models/{AUTHOR}-quantized/quantized2")
    assert release.adapter.base == "hf://meta-llama/Llama-3.1-8B-Instruct"
    assert (release.index.version, release.data and release.data.version) == ("1f2e", "s" * 64)
    assert release.canary.percent == 0


def test_promotion_changes_one_file_and_goes_through_staging(clone: Path, registry: str, tracking: str) -> None:
    make(clone, registry, tracking, "1.0.0")
    with pytest.raises(InputError, match="prod gets what staging has tried"):
        promote_release(clone, "1.0.0", "prod")
    for environment in ("staging", "prod"):
        before = (clone / "kustomize/overlays" / environment / "release.yaml").read_text()
        promote_release(clone, "1.0.0", environment)  # type: ignore[arg-type]
        assert git(clone, "status", "--porcelain").split() == ["M", f"kustomize/overlays/{environment}/release.yaml"]
        commit(clone, f"promote to {environment}")
        git(clone, "revert", "--no-edit", "HEAD")
        assert (clone / "kustomize/overlays" / environment / "release.yaml").read_text() == before
        git(clone, "revert", "--no-edit", "HEAD")


def test_what_was_changed_after_staging_does_not_reach_prod(clone: Path, registry: str, tracking: str) -> None:
    path = make(clone, registry, tracking, "1.0.0")
    promote_release(clone, "1.0.0", "staging")
    commit(clone, "staging")
    content = path.read_text()
    path.write_text(content.replace("quantized2", "quantized9"))
    commit(clone, "by hand")
    with pytest.raises(InputError, match=r"staging's 1.0.0 is not what .*: model") as caught:
        promote_release(clone, "1.0.0", "prod")
    assert "next version" in caught.value.remedy
    path.write_text(content)
    commit(clone, "as it was")
    promote_release(clone, "1.0.0", "prod")


def test_promoted_values_reach_what_is_applied(clone: Path, registry: str, tracking: str) -> None:
    from tests.manifest_rules.build import build, find_kustomize
    from tests.manifest_rules.cluster import Cluster

    command = find_kustomize()
    if command is None:
        pytest.skip("no kustomize of version 5: scripts/install_kustomize.sh")
    shutil.copytree(ROOT / "manifests", clone / "manifests")
    commit(clone, "manifests")
    release = read_release(make(clone, registry, tracking, "1.0.0"))
    promote_release(clone, "1.0.0", "staging")
    cluster = Cluster(build(clone / "kustomize/overlays/staging", command))
    twin = cluster.get("InferenceService", "twin")
    assert twin and twin["spec"]["predictor"]["model"]["storageUri"] == release.model.uri
    transformer = twin["spec"]["transformer"]["containers"][0]
    assert transformer["image"] == release.images.core
    variables = {variable["name"]: variable.get("value") for variable in transformer["env"]}
    assert (variables["LLM_TWIN_RELEASE"], variables["LLM_TWIN_INDEX"]) == ("1.0.0", "1f2e")
    ours = {c["image"] for pod in cluster.pods for _, c, _ in pod.containers() if "llm-twin" in c["image"]}
    assert ours == {release.images.core}


def test_a_canary_is_the_new_model_beside_what_runs(clone: Path, registry: str, tracking: str) -> None:
    for version in ("1.0.0", "1.1.0"):
        make(clone, registry, tracking, version)
    promote_release(clone, "1.0.0", "staging")
    commit(clone, "staging")
    with pytest.raises(InputError, match="cannot split traffic .*plain Deployments"):
        promote_release(clone, "1.1.0", "staging", canary_percent=10)
    set_components(clone, "staging", "canary")
    promote_release(clone, "1.1.0", "staging", canary_percent=10)
    running = read_release(clone / "kustomize/overlays/staging/release.yaml")
    assert (running.version, running.canary.version) == ("1.0.0", "1.1.0")
    assert (running.canary.percent, running.canary.remainder) == (10, 90)
    commit(clone, "canary")
    promote_release(clone, "1.1.0", "staging")
    running = read_release(clone / "kustomize/overlays/staging/release.yaml")
    assert (running.version, running.canary.percent) == ("1.1.0", 0)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        (("knative", "canary"), "canaryTrafficPercent"),
        (("canary-knative",), "weights"),
        (("knative",), "Knative serves"),
    ],
)
def test_the_wrong_kind_of_canary_is_refused(
    clone: Path, registry: str, tracking: str, components: tuple[str, ...], message: str
) -> None:
    make(clone, registry, tracking, "1.1.0")
    set_components(clone, "staging", *components)
    with pytest.raises(InputError, match=message):
        promote_release(clone, "1.1.0", "staging", canary_percent=10)


def set_components(root: Path, overlay: str, *names: str) -> None:
    file = root / "kustomize/overlays" / overlay / "kustomization.yaml"
    content = yaml.safe_load(file.read_text())
    content["components"] += [f"../../components/{name}" for name in names]
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    commit(root, f"components {names}")


def test_images_by_tag_stop_before_prod(clone: Path, tracking: str) -> None:
    with pytest.raises(ServiceError, match="does not answer"):
        make(clone, "127.0.0.1:9", tracking, "1.0.0")
    make(clone, "127.0.0.1:9", tracking, "1.0.0", allow_tags=True)
    promote_release(clone, "1.0.0", "staging")
    commit(clone, "staging")
    with pytest.raises(InputError, match="images without a digest"):
        promote_release(clone, "1.0.0", "prod")


def test_bad_input_is_refused_with_a_remedy(clone: Path, registry: str, tracking: str) -> None:
    with pytest.raises(InputError, match="has no twin/llm-twin-core-python:9.9.9"):
        make(clone, registry, tracking, "9.9.9")
    with pytest.raises(InputError, match="no 'missing' of"):
        make(clone, registry, tracking, "1.0.0", alias="missing")
    with pytest.raises(InputError, match="was made from adapter 1"):
        make(clone, registry, tracking, "1.0.0", alias="mixed")
    with pytest.raises(InputError, match="is no version"):
        make(clone, registry, tracking, "one")
    with pytest.raises(InputError, match="no release 3.0.0"):
        promote_release(clone, "3.0.0", "staging")
    make(clone, registry, tracking, "1.0.0")
    with pytest.raises(InputError, match="exists"):
        make(clone, registry, tracking, "1.0.0")
    (clone / "note.txt").write_text("not committed")
    with pytest.raises(InputError, match="dirty: note.txt"):
        promote_release(clone, "1.0.0", "staging")
    with pytest.raises(InputError, match="dirty: note.txt"):
        create_release(clone, "1.1.0", AUTHOR, images(registry, "1.1.0"), tracking)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "uri"), None, "spec.model.uri"),
        (("model", "uri"), "", "spec.model.uri"),
        (("images", "core"), None, "spec.images.core"),
        (("canary", "percent"), 10, "do not add up"),
        (("modle",), {}, "spec.modle"),
    ],
)
def test_a_release_file_with_a_missing_value_is_refused(
    clone: Path, path: tuple[str, ...], value: object, message: str
) -> None:
    file = clone / "kustomize/overlays/staging/release.yaml"
    content = yaml.safe_load(file.read_text())
    target = content["spec"]
    for key in path[:-1]:
        target = target[key]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=message):
        read_release(file)


def test_the_overlays_files_are_releases_and_writing_is_stable() -> None:
    for overlay in ("dev", "staging", "prod"):
        release = read_release(ROOT / "kustomize/overlays" / overlay / "release.yaml")
        assert render_release(release) == render_release(release)
        assert yaml.safe_load(render_release(release))["spec"]["canary"]["percent"] == 0


def test_outside_a_clone_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run it in a clone"):
        find_root(tmp_path)


def test_references_and_registries_without_a_token() -> None:
    with serve_registry({"a/b:1.0"}, needs_token=False) as address:
        assert read_digest(f"{address}/a/b:1.0") == f"{address}/a/b:1.0@{digest_of('a/b', '1.0')}"
        with pytest.raises(InputError, match="has no a/b:2.0"):
            read_digest(f"{address}/a/b:2.0")
    for wrong in ("mongo:8", "ghcr.io/x/y", "x"):
        with pytest.raises(InputError, match="no image with registry and tag"):
            parse_reference(wrong)
