"""The pipelines as Kubeflow gets them: checked in, within limits, placed as the recipe says, secrets where needed."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_twin.recipe_training import NodePool
from llm_twin.recipes import load_recipe
from pipelines.catalogue import NAMES, build_pipeline, find_recipe, pipeline_arguments
from pipelines.kubeflow import compile_pipeline
from pipelines.needs import NEEDS, OPTIONAL_SECRETS, SYSTEMS
from pipelines.options import BuildOptions
from tests.unit.kubernetes.builds import build_overlay, find

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "WarehouseSettings": "warehouse", "IndexSettings": "index", "RegistrySettings": "registry",
    "resolve_exports": "exports", "with_champion": "exports",  # the one writes there, the other reads
    "HubSettings": "hub", "LlmSettings": "llm", "ServingSettings": "serving", "read_object": "objects",
    "write_object": "objects",
}  # fmt: skip
POOL = NodePool(
    accelerators=2, cpu="6", memory="40Gi", node_selector={"llm-twin/pool": "gpu"}, toleration_key="nvidia.com/gpu",
    shared_memory="4Gi", ephemeral_storage="80Gi", queue="twin-training",
)  # fmt: skip


@functools.cache
def _compiled(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    target = folder / f"{name}.yaml"
    compile_pipeline(build_pipeline(name, BuildOptions(pool=POOL, code_from_image=True)), target)
    text = target.read_text()
    spec, platform = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"], text


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], str]:
    return _compiled(tmp_path_factory.mktemp("ir"), "twin")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_checked_in_is_what_compiles(name: str, tmp_path: Path) -> None:
    target = tmp_path / f"{name}.yaml"
    compile_pipeline(build_pipeline(name, BuildOptions(pool=NodePool(), code_from_image=True)), target)
    checked_in = ROOT / "pipelines" / "ir" / f"{name}.yaml"
    assert checked_in.is_file() and checked_in.read_text() == target.read_text(), "run `make compile` and commit"


def test_limits_of_kubeflow(twin: tuple[dict[str, Any], dict[str, Any], str]) -> None:
    _, _, text = twin
    # An Argo workflow holds the specification about twice over, escaped; etcd takes 1.5 MiB.
    assert len(text) < 2**20 / 2.5
    for recipe in ("sample", "laptop", "llama3_8b_qlora"):
        loaded = load_recipe(find_recipe(recipe))
        import json

        for value in pipeline_arguments(loaded, build_pipeline("twin", BuildOptions())).values():
            assert len(json.dumps(value)) < 10_000


def test_gpu_steps_are_placed_as_the_recipe_says(twin: tuple[dict[str, Any], dict[str, Any], str]) -> None:
    spec, platform, _ = twin
    executors = spec["deploymentSpec"]["executors"]
    container = executors["exec-train-sft"]["container"]
    resources = container["resources"]
    assert (resources["resourceCpuLimit"], resources["resourceMemoryLimit"]) == ("6", "40Gi")
    accelerator = resources["accelerator"]
    assert (accelerator["resourceCount"], accelerator["resourceType"]) == ("2", "nvidia.com/gpu")
    placed = platform["exec-train-sft"]
    assert placed["nodeSelector"]["labels"] == {"llm-twin/pool": "gpu"}
    assert placed["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    assert placed["podMetadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "twin-training"}
    mounts = {mount["mountPath"]: mount["sizeLimit"] for mount in placed["emptyDirMounts"]}
    assert mounts == {"/dev/shm": "4Gi", "/scratch": "80Gi"}
    assert "nodeSelector" not in platform["exec-collect-documents"]


def test_every_step_retries_and_ends(twin: tuple[dict[str, Any], dict[str, Any], str]) -> None:
    spec, platform, _ = twin
    assert set(platform) == set(spec["deploymentSpec"]["executors"])
    assert all(int(step["activeDeadlineSeconds"]) >= 3600 for step in platform.values())
    retried = set()
    for component in [spec["root"], *spec["components"].values()]:
        for name, task in (component.get("dag") or {}).get("tasks", {}).items():
            if "executorLabel" in spec["components"][task["componentRef"]["name"]]:
                assert task["retryPolicy"]["maxRetryCount"] >= 1, name
                retried.add(name)
    assert len(retried) == len(platform)


def test_each_step_has_the_secrets_that_it_needs_and_no_others(
    twin: tuple[dict[str, Any], dict[str, Any], str],
) -> None:
    _, platform, _ = twin
    for name, step in platform.items():
        wanted = {
            secret for system in NEEDS.get(name.removeprefix("exec-"), ()) for secret in SYSTEMS[system][1]
        }  # fmt: skip
        assert {entry["secretName"] for entry in step.get("secretAsEnv", [])} == wanted, name


def test_needs_are_what_components_read() -> None:
    seen = {}
    for file in (ROOT / "components").glob("*/*.py"):
        text = file.read_text()
        systems = {system for word, system in SETTINGS.items() if re.search(rf"\b{word}\b", text)}
        if "@dsl.component" in text and systems:
            seen[file.stem.replace("_", "-")] = systems
    assert {name: set(systems) for name, systems in NEEDS.items()} == seen


def test_what_steps_are_given_is_in_the_cluster() -> None:
    import yaml

    things = build_overlay("dev")
    endpoints = find(things, "ConfigMap", "twin-endpoints")["data"]
    contract = yaml.safe_load(find(things, "ConfigMap", "twin-secret-keys")["data"]["secrets.yaml"])
    for keys, secrets in SYSTEMS.values():
        assert set(keys) <= set(endpoints)
        for secret, pairs in secrets.items():
            if secret not in OPTIONAL_SECRETS or secret in contract:
                assert {key for key, _ in pairs} <= set(contract[secret]["keys"])


def test_cached_steps_are_keyed_by_the_image_s_version(twin: tuple[dict[str, Any], dict[str, Any], str]) -> None:
    spec, _, _ = twin
    images = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    assert all(re.search(r"-python:\d+\.\d+\.\d+$", image) for image in images)
    uncached = {
        name
        for component in [spec["root"], *spec["components"].values()]
        for name, task in (component.get("dag") or {}).get("tasks", {}).items()
        if not (task.get("cachingOptions") or {}).get("enableCache")
    }
    assert {"collect-documents", "index-chunks"} <= uncached
