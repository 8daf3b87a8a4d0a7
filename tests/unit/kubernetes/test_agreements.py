"""Manifests agree with the code: images, programs and their arguments, configuration files, the canary's copy."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import images
from llm_twin.operations.generate_secrets import read_contract, render_values
from llm_twin.recipes import load_recipe
from llm_twin.serving.twins import read_server_config
from tests.manifest_rules.cluster import Cluster
from tests.unit.kubernetes.builds import build_overlay, find

ROOT = Path(__file__).parents[3]
KSERVE_ADDS = ("--model_name", "--predictor_host", "--http_port")


def test_python_and_kustomize_name_the_same_images() -> None:
    base = yaml.safe_load((ROOT / "kustomize/base/kustomization.yaml").read_text())
    core = {f"{image['newName']}:{image['newTag']}" for image in base["images"]}
    assert core == {images.CORE_IMAGE}


def test_each_image_has_its_dockerfile() -> None:
    for name, image in (
        ("core", images.CORE_IMAGE),
        ("train", images.TRAIN_IMAGE),
        ("quantize", images.QUANTIZE_IMAGE),
    ):
        assert f"/llm-twin-{name}-python:" in image
        assert (ROOT / "components" / name / "Dockerfile").is_file()


def test_every_image_of_ours_is_the_release_s_on_every_overlay() -> None:
    for overlay in ("dev", "staging", "prod"):
        release = yaml.safe_load((ROOT / "kustomize/overlays" / overlay / "release.yaml").read_text())
        cluster = Cluster(build_overlay(overlay))
        ours = {
            container["image"] for pod in cluster.pods for _, container, _ in pod.containers()
            if "llm-twin" in container["image"]
        }  # fmt: skip
        assert ours == {release["spec"]["images"]["core"]}


def _programs() -> list[tuple[str, list[str]]]:
    """(place, words) of every container that runs our image, as the shell would see them."""
    cluster = Cluster(build_overlay("dev", "cpu"))
    found = []
    for pod in cluster.pods:
        for place, container, _ in pod.containers():
            if "llm-twin" in container["image"]:
                words = [*container["command"], *(container.get("args") or [])]
                added = (
                    [f"{flag}=x" for flag in KSERVE_ADDS] if place.startswith("InferenceService/twin transf") else []
                )
                found.append((place, words + added))
    return found


@functools.cache
def _help_of(program: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", "llm_twin.cli", *program[1:]] if program[0] == "twin" else list(program)
    if program[0] == "mlflow":
        command = [str(Path(sys.executable).parent / "mlflow"), *program[1:]]
    if program[0] == "python":
        command[0] = sys.executable
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=120, env=_environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_every_program_takes_the_arguments_that_manifests_and_kserve_give_it() -> None:
    programs = _programs()
    assert len(programs) > 8
    for place, words in programs:
        head = next((i for i, word in enumerate(words) if word.startswith("-") and word != "-m"), len(words))
        if words[0] == "python":
            assert words[1] == "-m", place
            assert importlib.util.find_spec(words[2]) is not None, f"{place}: no module {words[2]}"
            if words[2] in ("llm_twin.operations.buckets", "llm_twin.operations.generate_secrets"):
                continue  # they take names only
            if words[2] == "llm_twin.operations.snapshot_vectors":
                continue
            program = tuple(words[:3])
        else:
            program = tuple(words[:head])
        said = _help_of(program)
        for flag in (word.split("=")[0] for word in words[head:] if word.startswith("--")):
            assert flag in said, f"{place}: {flag}"


def test_the_backups_call_is_one_that_the_program_parses() -> None:
    calls = [words for place, words in _programs() if "llm_twin.operations.backups" in words]
    assert sorted(tuple(words[3:]) for words in calls) == [
        ("upload", "mongodb", "/backup/mongodb.archive.gz"),
        ("upload", "postgres", "/backup/mlflow.dump"),
    ]


def test_configuration_in_manifests_is_what_the_code_reads() -> None:
    config = read_server_config(ROOT / "manifests/twin/server.json")
    assert config.twins[0].name == "twin"
    assert load_recipe(ROOT / "manifests/pipelines/recipe.yaml").author.id == config.twins[0].author.id
    things = build_overlay("dev")
    contract = read_contract(find(things, "ConfigMap", "twin-secret-keys")["data"]["secrets.yaml"])
    values = render_values(contract["twin-mongodb"])
    assert values["password"] in values["url"]
    assert len(values["keyfile"]) >= 6 and "$" not in "".join(values.values())


def test_the_canary_is_the_twin_under_another_name() -> None:
    def without_name(path: str) -> dict[str, Any]:
        content = yaml.safe_load((ROOT / path).read_text())
        content["metadata"]["name"] = "x"
        content["metadata"]["labels"].pop("llm-twin/track", None)
        return content

    assert without_name("manifests/twin/inference-service.yaml") == without_name(
        "manifests/twin-canary/inference-service.yaml"
    )


def test_nobody_gets_in_from_outside_without_a_key() -> None:
    folders = (ROOT / "kustomize/components/gateway", ROOT / "manifests/twin-canary")
    assert len({(folder / "access-keys.yaml").read_text() for folder in folders}) == 1
    for thing in build_overlay("prod", "canary"):
        if thing["kind"] == "InferenceService":
            assert "--keys=/etc/llm-twin-keys/keys.json" in thing["spec"]["transformer"]["containers"][0]["args"]


def test_vllm_changes_the_runtime_and_nothing_else() -> None:
    before, after = build_overlay("prod"), build_overlay("prod", "vllm")
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 1
    changed[0][1]["spec"]["predictor"]["model"]["runtime"] = "twin-tgi"
    assert changed[0][0] == changed[0][1]


def test_cpu_can_be_put_on_top_of_a_finished_overlay(tmp_path: Path) -> None:
    """The way that the documentation shows: a kustomization of one's own over overlays/dev."""
    from tests.manifest_rules.build import build, find_kustomize

    command = find_kustomize()
    if command is None:
        pytest.skip("no kustomize of version 5: scripts/install_kustomize.sh")
    import os

    relative = os.path.relpath(ROOT / "kustomize", tmp_path)
    content = {"resources": [f"{relative}/overlays/dev"], "components": [f"{relative}/components/cpu"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(content))
    assert build(tmp_path, command) == build_overlay("dev", "cpu")
