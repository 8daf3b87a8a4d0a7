"""A TrainJob from the step that launches it to torchrun's processes and back: only the nodes are this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llm_twin.errors import ServiceError
from llm_twin.recipe_training import NodePool
from llm_twin.training.nodes import train_on_nodes
from tests.integration.kubernetes_api import Cluster, running_cluster

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]


def condition(kind: str) -> dict:
    when = {"lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Ended", "message": "ended"}
    return {"conditions": [{"type": kind, "status": "True", **when}]}


@pytest.fixture
def cluster():
    """A TrainJob API on loopback whose jobs are run by `follow`."""
    yield from running_cluster()


def follow(cluster: Cluster, log: Path, processes: int) -> None:
    """Be the job's controller and nodes: run what the job says under torchrun, and report how it ended."""
    while not cluster.jobs:
        time.sleep(0.05)
    (name,) = cluster.jobs
    trainer = cluster.jobs[name]["spec"]["trainer"]
    assert trainer["command"] == ["torchrun", "-m", "llm_twin.training.job"]
    said = {pair["name"]: pair["value"] for pair in trainer["env"]}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    with log.open("w") as out:
        done = subprocess.run(
            [*command, *trainer["command"][1:], *trainer["args"]],
            env={**os.environ, **said, "OMP_NUM_THREADS": "1"}, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    cluster.change(name, condition("Complete" if done.returncode == 0 else "Failed"))


def test_two_processes_train_one_adapter_that_the_step_hands_on(
    cluster, tiny_base, tiny_samples, tiny_recipe, tmp_path
):
    from kubernetes import client

    api = client.ApiClient(client.Configuration(host=cluster.url))
    pool = NodePool(accelerators=2, training_volume="shared")
    kubelet = threading.Thread(target=follow, args=(cluster, tmp_path / "pod.log", 2))
    kubelet.start()
    try:
        done = train_on_nodes(
            api, "sft", {"base": tiny_base, "samples": tiny_samples}, tiny_recipe, pool, "team", "registry/train:1",
            tmp_path / "adapter", tmp_path / "report.html", shared=tmp_path / "shared",
        )  # fmt: skip
    except ServiceError as error:
        pytest.fail(f"{error}\n{(tmp_path / 'pod.log').read_text()[-4000:]}")
    finally:
        kubelet.join(timeout=600)
    assert done.figures["steps"] == 2 * 32 / (2 * tiny_recipe.sft_batch_size), "a step holds both processes' samples"
    assert done.figures["validation_loss"] < done.figures["validation_loss_before"]
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert not list((tmp_path / "shared" / "wren").iterdir()), "the shared volume is left as it was"
