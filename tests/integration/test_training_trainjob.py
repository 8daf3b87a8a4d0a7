"""TrainJobs against an HTTP server that validates the CRD's schema: made once, followed, deleted, explained."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from kubernetes import client

from llm_twin.errors import InputError, ServiceError
from llm_twin.recipe_training import NodePool
from llm_twin.training.trainjob import build_trainjob, run_trainjob
from tests.integration.kubernetes_api import Cluster, running_cluster

DONE = {"conditions": [{"type": "Complete", "status": "True", "reason": "JobsCompleted", "message": "done",
                        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}  # fmt: skip
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "JobsFailed", "message": "a pod failed",
                          "lastTransitionTime": "2026-01-01T00:00:00Z"}]}  # fmt: skip


@pytest.fixture
def cluster():
    yield from running_cluster()


def connect(cluster: Cluster) -> client.ApiClient:
    return client.ApiClient(client.Configuration(host=cluster.url))


def make(**changes) -> dict:
    pool = NodePool(
        nodes=2, accelerators=4, sharding="fsdp", queue="gpu", ephemeral_storage="50Gi", training_volume="shared",
        shared_memory="8Gi", node_selector={"pool": "gpu"}, **changes,
    )  # fmt: skip
    arguments = ["--step", "sft", "--base", "/state/base"]
    return build_trainjob("wren", "team", "registry/train:1", arguments, pool, {"LLM_TWIN_HOME": "/state"})


def later(seconds: float, action, *arguments) -> None:
    threading.Timer(seconds, action, arguments).start()


def test_the_manifest_asks_for_what_the_pool_says():
    spec = make()["spec"]["trainer"]
    assert spec["numNodes"] == 2 and spec["numProcPerNode"] == 4
    assert spec["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "4"
    assert {"name": "ACCELERATE_USE_FSDP", "value": "true"} in spec["env"]
    (patch,) = make()["spec"]["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pods = job["template"]["spec"]["template"]["spec"]
    assert pods["nodeSelector"] == {"pool": "gpu"} and pods["tolerations"][0]["key"] == "nvidia.com/gpu"
    mounts = {mount["mountPath"] for mount in pods["containers"][0]["volumeMounts"]}
    assert mounts == {"/training", "/dev/shm"}
    assert make()["metadata"]["name"] == make()["metadata"]["name"]
    assert make()["metadata"]["name"] != make(cpu="16")["metadata"]["name"]


def test_created_once_across_retries_and_followed_to_its_end(cluster, capsys):
    manifest = make()
    name = manifest["metadata"]["name"]
    running = {"jobsStatus": [{"name": "node", "active": 2, "ready": 2, "failed": 0, "succeeded": 0, "suspended": 0}],
               "trainerStatus": {"progressPercentage": 40, "estimatedRemainingSeconds": 90,
                                 "metrics": [{"name": "loss", "value": "2.1"}]}}  # fmt: skip
    later(0.7, cluster.change, name, running)
    later(1.4, cluster.change, name, DONE)
    assert run_trainjob(connect(cluster), manifest, 30) == DONE
    assert run_trainjob(connect(cluster), manifest, 30) == DONE  # a retry of the step
    assert cluster.created == [name] and cluster.deleted == []
    said = capsys.readouterr().out
    assert "40 %, 90 s left; loss 2.1" in said and "2 active 2 ready" in said


def test_a_410_and_a_cut_watch_are_survived(cluster):
    manifest = make()
    cluster.watch_faults = ["410", "cut"]
    later(3, cluster.change, manifest["metadata"]["name"], DONE)
    assert run_trainjob(connect(cluster), manifest, 30) == DONE
    assert cluster.watches >= 3 and len(cluster.created) == 1


def test_an_end_that_came_while_the_watch_was_down_is_seen(cluster):
    manifest = make()
    cluster.watch_faults = ["cut"] * 50
    later(0.5, cluster.change, manifest["metadata"]["name"], DONE)
    assert run_trainjob(connect(cluster), manifest, 30) == DONE


def test_the_failed_pods_reason_is_shown(cluster):
    manifest = make()
    ended = {"exitCode": 137, "reason": "OOMKilled", "message": "loading\nkilled at step 12"}
    cluster.pods = [{"metadata": {"name": "twin-node-0-1"}, "status": {"phase": "Failed", "containerStatuses": [
        {"name": "node", "image": "i", "imageID": "i", "ready": False, "restartCount": 0,
         "state": {"terminated": ended}}]}}]  # fmt: skip
    later(0.5, cluster.change, manifest["metadata"]["name"], FAILED)
    with pytest.raises(ServiceError, match=r"twin-node-0-1 OOMKilled \(exit 137\): killed at step 12") as caught:
        run_trainjob(connect(cluster), manifest, 30)
    assert "kubectl logs" in caught.value.remedy
    assert cluster.deleted == []  # kept, for its logs


def test_deleted_when_time_is_up_or_someone_else_deletes_it(cluster):
    manifest = make()
    with pytest.raises(ServiceError, match="not finished after 2 s"):
        run_trainjob(connect(cluster), manifest, 2)
    assert cluster.deleted == [manifest["metadata"]["name"]]


def test_deleted_when_the_step_is_terminated(cluster, tmp_path):
    script = tmp_path / "step.py"
    script.write_text(
        "import json, sys\nfrom kubernetes import client\nfrom llm_twin.training.trainjob import run_trainjob\n"
        "run_trainjob(client.ApiClient(client.Configuration(host=sys.argv[1])), json.loads(sys.argv[2]), 60)\n"
    )
    import json

    manifest = make()
    step = subprocess.Popen([sys.executable, str(script), cluster.url, json.dumps(manifest)], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 90
    while not cluster.watches and time.monotonic() < until:
        time.sleep(0.1)
    step.send_signal(signal.SIGTERM)
    assert step.wait(30) != 0
    assert cluster.created == cluster.deleted == [manifest["metadata"]["name"]]


def test_another_job_of_that_name_and_a_bad_manifest_are_refused(cluster):
    manifest = make()
    cluster.jobs[manifest["metadata"]["name"]] = {"metadata": {"annotations": {}, "resourceVersion": "1"}}
    with pytest.raises(InputError, match="another TrainJob"):
        run_trainjob(connect(cluster), manifest, 5)
    wrong = make(cpu="16")
    wrong["spec"]["trainer"]["numNodes"] = "two"
    with pytest.raises(InputError, match="'two' is not of type 'integer'"):
        run_trainjob(connect(cluster), wrong, 5)
    misspelt = make(cpu="17")
    misspelt["spec"]["trainer"]["nodes"] = 2
    with pytest.raises(InputError, match="nodes"):
        run_trainjob(connect(cluster), misspelt, 5)
