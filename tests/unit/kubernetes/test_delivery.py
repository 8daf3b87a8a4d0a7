"""compose.yaml, Dockerfiles and workflows: pinned, closed to the outside, and about things that exist."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from components.requirements import list_requirements
from tests.manifest_rules.cluster import Cluster
from tests.manifest_rules.rules_pods import check_image
from tests.unit.kubernetes.builds import build_overlay

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_compose_runs_the_images_of_the_cluster() -> None:
    cluster = Cluster(build_overlay("dev"))
    known = {container["image"] for pod in cluster.pods for _, container, _ in pod.containers()}
    for name, service in COMPOSE["services"].items():
        assert service["image"] in known, name
        assert list(check_image(name, service)) == []


def test_compose_listens_on_this_machine_only_and_waits_for_health() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for other, how in service.get("depends_on", {}).items():
            target = COMPOSE["services"][other]
            assert how["condition"] != "service_healthy" or "healthcheck" in target, f"{name} waits for {other}"
    named = {volume.split(":")[0] for s in COMPOSE["services"].values() for volume in s.get("volumes", [])}
    assert named == set(COMPOSE["volumes"])


def check_schema(name: str, file: Path) -> str:
    """What the published schema `name` says against `file`; empty when it fits. The tool brings its schemas."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr if done.returncode else ""


def test_compose_fits_the_compose_specification(tmp_path: Path) -> None:
    assert check_schema("compose-spec", ROOT / "compose.yaml") == ""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "compose.yaml").read_text().replace("    healthcheck:", "    healthchek:", 1))
    assert "healthchek" in check_schema("compose-spec", wrong)


@pytest.mark.parametrize("image", ["core", "train", "quantize"])
def test_dockerfiles_are_multi_stage_pinned_and_not_root(image: str) -> None:
    text = (ROOT / "components" / image / "Dockerfile").read_text()
    assert len(re.findall(r"^FROM ", text, re.M)) == 2
    base = re.search(r"^ARG BASE=(\S+)$", text, re.M)
    assert base and re.search(r":\d+\.\d+\.\d+-", base[1])
    assert "ARG BASE_DIGEST=" in text and "ARG TORCH_INDEX_URL" in text
    assert re.findall(r"^USER (.*)$", text, re.M) == ["10001:10001"]
    assert ":latest" not in text
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for path in source.split():
            assert (ROOT / path).exists(), path
            ignored = (ROOT / ".dockerignore").read_text().splitlines()
            assert f"!{path.split('/')[0]}" in ignored, path


def install_only(packages: list[str], folder: Path) -> None:
    """A site-packages of links: `packages`, and what they need, from this environment."""
    wanted, done = [Requirement(package) for package in packages], set()
    while wanted:
        asked = wanted.pop()
        if (canonicalize_name(asked.name), *asked.extras) in done:
            continue
        done.add((canonicalize_name(asked.name), *asked.extras))
        found = distribution(asked.name)
        for text in found.requires or []:
            needed = Requirement(text)
            if any(needed.marker is None or needed.marker.evaluate({"extra": e}) for e in ("", *asked.extras)):
                wanted.append(needed)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))


def test_the_quantize_image_s_small_environment_is_enough_for_its_step(tmp_path: Path) -> None:
    text = (ROOT / "components/quantize/Dockerfile").read_text()
    listed = re.search(r"/opt/twin/bin/pip install -c constraints.txt (.*)$", text, re.M)
    assert listed
    (tmp_path / "site").mkdir()
    install_only(listed[1].split(), tmp_path / "site")
    sizes = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    code = f"""
import importlib.util
from pathlib import Path
import components.training.quantize_model, kfp.dsl.executor_main
from llm_twin import artifacts, recipes, settings
from llm_twin.training import quantize, samples
quantize.check_group_size(Path({str(tmp_path)!r}), 64)
print(importlib.util.find_spec("torch"))
"""
    path = ":".join(map(str, (tmp_path / "site", ROOT / "src", ROOT)))
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": path, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr


def test_what_an_image_leaves_out_must_be_a_dependency() -> None:
    project = {"dependencies": ["a>=1", "b[x]==2; python_version>'3'"], "optional-dependencies": {"more": ["c"]}}
    assert list_requirements(project, ["more"], ["b"]) == ["a>=1", "c"]
    with pytest.raises(SystemExit, match="z is no dependency"):
        list_requirements(project, [], ["z"])


@pytest.mark.parametrize("file", sorted((ROOT / ".github/workflows").glob("*.yaml")), ids=lambda f: f.name)
def test_workflows_are_pinned_and_least_privileged(file: Path) -> None:
    assert check_schema("github-workflows", file) == ""
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for name, job in workflow["jobs"].items():
        assert job["runs-on"] != "ubuntu-latest", name
        for step in job["steps"]:
            if "uses" in step:
                assert re.search(r"@v?\d", step["uses"]), step["uses"]
            for target in re.findall(r"^make ([a-z-]+)", step.get("run", ""), re.M):
                assert target in targets
            # what a stranger may write reaches a shell through the environment only
            assert "${{" not in step.get("run", ""), step


def test_every_runbook_that_is_asked_for_is_there() -> None:
    names = {file.stem for file in (ROOT / "docs/runbooks").glob("*.md")}
    assert names >= {
        "predictor-down", "drift-alert", "bad-release", "restore-from-backup", "region-lost", "key-rotation",
        "release-checklist", "postmortem-template",
    }  # fmt: skip
    for file in (ROOT / "docs/runbooks").glob("*.md"):
        assert len(file.read_text()) > 600, file.name
