"""A Kubeflow Trainer `TrainJob`, made once, followed to its end, and deleted when the step is cancelled.

The job's name derives from what it trains on, so a step that is retried finds the job it made instead of making a
second one. A watch that is cut, or whose resource version has expired (410), begins again from a fresh look.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_twin.digests import digest_json
from llm_twin.errors import InputError, ServiceError, TwinError
from llm_twin.progress import report
from llm_twin.recipe_training import NodePool

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
CONTENT = "llm-twin.dev/content"
WATCH_SECONDS = 240  # proxies cut longer silences
SHARED = "/training"  # where pool.training_volume is mounted, in the step and in the job's pods
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}


def build_trainjob(
    author: str, namespace: str, image: str, arguments: list[str], pool: NodePool, environment: dict[str, str]
) -> dict[str, Any]:
    """The manifest that runs `llm_twin.training.job` with `arguments` on the pool's nodes, under torchrun."""
    sharding = {"none": {}, "fsdp": FSDP, "deepspeed": DEEPSPEED}[pool.sharding]
    wanted = {"cpu": pool.cpu, "memory": pool.memory}
    if pool.accelerators:
        wanted[pool.accelerator] = str(pool.accelerators)
    if pool.ephemeral_storage:
        wanted["ephemeral-storage"] = pool.ephemeral_storage
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": GROUP, "kind": "ClusterTrainingRuntime", "name": pool.training_runtime},
        "trainer": {
            "image": image,
            "command": ["torchrun", "-m", "llm_twin.training.job"],
            "args": arguments,
            "env": [{"name": key, "value": value} for key, value in sorted({**environment, **sharding}.items())],
            "numNodes": pool.nodes,
            "numProcPerNode": max(1, pool.accelerators),
            "resourcesPerNode": {"requests": wanted, "limits": wanted},
        },
        "runtimePatches": [{"manager": "llm-twin.dev/training", "trainingRuntimeSpec": _place_pods(pool)}],
    }
    content = digest_json([author, namespace, spec])
    labels = {"app.kubernetes.io/part-of": "llm-twin", "llm-twin.dev/author": author}
    if pool.queue:
        labels["kueue.x-k8s.io/queue-name"] = pool.queue
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {
            "name": f"twin-{author[:30].rstrip('-')}-{content[:10]}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {CONTENT: content},
        },
        "spec": spec,
    }


def _place_pods(pool: NodePool) -> dict[str, Any]:
    """The patch of the runtime's pods: which nodes, which taints, shared memory, and the volume with the data."""
    mounts, volumes = [], []
    if pool.training_volume:
        mounts.append({"name": "training", "mountPath": SHARED})
        volumes.append({"name": "training", "persistentVolumeClaim": {"claimName": pool.training_volume}})
    if pool.shared_memory:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": pool.shared_memory}})
    pods: dict[str, Any] = {"containers": [{"name": "node", "volumeMounts": mounts}], "volumes": volumes}
    if pool.node_selector:
        pods["nodeSelector"] = pool.node_selector
    if pool.toleration_key:
        pods["tolerations"] = [{"key": pool.toleration_key, "operator": "Exists", "effect": "NoSchedule"}]
    job = {"name": "node", "template": {"spec": {"template": {"spec": pods}}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}


def run_trainjob(api: Any, manifest: dict[str, Any], timeout_seconds: float = 86_400) -> dict[str, Any]:
    """Create the job (or find it), follow it to its end and return its status; `api` is a kubernetes ApiClient.

    Deletes the job when interrupted or terminated. Raises ServiceError with the failed pod's reason, or when the
    time is up (the job is deleted then), InputError when the cluster refuses the manifest.
    """
    from kubernetes import client

    objects, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    first = _create_or_find(objects, manifest)
    with _delete_on_cancel(objects, namespace, name):
        deadline = time.monotonic() + timeout_seconds
        said = ""
        for job in _follow(objects, first, deadline):
            line = describe(job)
            if line != said:
                report(f"TrainJob {name}: {line}")
                said = line
            conditions = _conditions(job)
            if "Complete" in conditions:
                return job.get("status", {})
            if "Failed" in conditions:
                raise ServiceError(
                    f"TrainJob {name} failed: {conditions['Failed'].get('message', '')}{_pod_reasons(core, job)}",
                    f"kubectl logs -n {namespace} -l jobset.sigs.k8s.io/jobset-name={name} --tail=100",
                )
        raise TimeoutError(f"TrainJob {name} was not finished after {timeout_seconds:.0f} s")


def _create_or_find(objects: Any, manifest: dict[str, Any]) -> dict[str, Any]:
    """Create the job; where one of that name is there already with the same content, take that."""
    from kubernetes.client import ApiException

    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    try:
        job = objects.create_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, manifest)
        report(f"TrainJob {name} created in {namespace}")
        return job
    except ApiException as error:
        if error.status == 409:
            job = objects.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
            if job["metadata"].get("annotations", {}).get(CONTENT) == manifest["metadata"]["annotations"][CONTENT]:
                report(f"TrainJob {name} is there already: following it")
                return job
            raise InputError(
                f"another TrainJob is named {name}", f"kubectl delete trainjob -n {namespace} {name}"
            ) from error
        if error.status == 404:
            raise InputError(
                f"the cluster knows no TrainJob, or no namespace {namespace}", "install Kubeflow Trainer 2"
            ) from error
        raise InputError(f"the cluster refused the TrainJob: {error.status} {error.body}", "mend node_pool") from error


def _follow(objects: Any, job: dict[str, Any], deadline: float) -> Iterator[dict[str, Any]]:
    """The job each time it changes, until the deadline; survives cut watches and expired resource versions."""
    from kubernetes import watch
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    yield job
    pause = 0.2
    while time.monotonic() < deadline:
        seconds = max(1, min(WATCH_SECONDS, int(deadline - time.monotonic())))
        try:
            stream = watch.Watch().stream(
                objects.list_namespaced_custom_object,
                GROUP, VERSION, namespace, PLURAL,
                field_selector=f"metadata.name={name}",
                resource_version=job["metadata"]["resourceVersion"],
                timeout_seconds=seconds,
                _request_timeout=(10, seconds + 10),
            )  # fmt: skip
            for event in stream:
                if event["type"] == "DELETED":
                    raise ServiceError(f"TrainJob {name} was deleted by someone else", "run the step again")
                job = event["object"]
                pause = 0.2
                yield job
        except ApiException as error:
            if error.status not in {410, 429, 500, 502, 503, 504}:
                raise
            report(f"TrainJob {name}: watch answered {error.status}, looking afresh")
        except HTTPError as error:
            report(f"TrainJob {name}: watch was cut ({type(error).__name__}), looking afresh")
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 2, 30)
        fresh = _get(objects, namespace, name)
        if fresh is None:
            raise ServiceError(f"TrainJob {name} was deleted by someone else", "run the step again")
        if fresh["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"]:
            job = fresh
            yield job


def _get(objects: Any, namespace: str, name: str) -> dict[str, Any] | None:
    """The job, None when it is gone; a server that is away for a moment is asked again."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    for wait in (0.2, 1, 5, 15, 30):
        try:
            return objects.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name, _request_timeout=30)
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status < 500 and error.status != 429:
                raise
        except HTTPError as error:
            report(f"TrainJob {name}: {type(error).__name__}, asking again")
        time.sleep(wait)
    raise ServiceError(f"the Kubernetes API does not answer about TrainJob {name}", "check the connection; run again")


@contextmanager
def _delete_on_cancel(objects: Any, namespace: str, name: str) -> Iterator[None]:
    """Delete the job when the body is interrupted, terminated or out of time; leave it after an end of its own."""
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    if in_main:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (KeyboardInterrupt, TimeoutError) as error:
        _delete(objects, namespace, name)
        if isinstance(error, TimeoutError):
            raise ServiceError(str(error), "raise the time limit, or give the pool more nodes") from error
        raise
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


def _delete(objects: Any, namespace: str, name: str) -> None:
    from kubernetes.client import ApiException

    try:
        objects.delete_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name, propagation_policy="Foreground", _request_timeout=30
        )
        report(f"TrainJob {name} deleted")
    except ApiException as error:
        if error.status != 404:
            raise TwinError(
                f"TrainJob {name} could not be deleted: {error.status}", f"kubectl delete trainjob {name}"
            ) from error


def _conditions(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = job.get("status", {}).get("conditions", [])
    return {condition["type"]: condition for condition in found if condition.get("status") == "True"}


def describe(job: dict[str, Any]) -> str:
    """One line: conditions, pods, and the progress that the trainer reports."""
    status = job.get("status", {})
    parts = [", ".join(sorted(_conditions(job))) or "waiting"]
    for pods in status.get("jobsStatus", []):
        counts = [f"{pods[key]} {key}" for key in ("active", "ready", "succeeded", "failed") if pods.get(key)]
        parts.append(f"{pods['name']} {' '.join(counts) or 'none yet'}")
    trainer = status.get("trainerStatus", {})
    if "progressPercentage" in trainer:
        left = trainer.get("estimatedRemainingSeconds")
        parts.append(f"{trainer['progressPercentage']} %" + (f", {left} s left" if left is not None else ""))
    parts += [f"{metric['name']} {metric['value']}" for metric in trainer.get("metrics", [])]
    return "; ".join(parts)


def _pod_reasons(core: Any, job: dict[str, Any]) -> str:
    """Why pods of the job ended: the container's reason, exit code and last words."""
    from kubernetes.client import ApiException

    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    try:
        pods = core.list_namespaced_pod(namespace, label_selector=f"jobset.sigs.k8s.io/jobset-name={name}").items
    except ApiException as error:
        return f" (its pods cannot be listed: {error.status})"
    reasons = []
    for pod in pods:
        for container in pod.status.container_statuses or []:
            ended = (container.state and container.state.terminated) or (
                container.last_state and container.last_state.terminated
            )
            if ended and ended.exit_code:
                words = (ended.message or "").strip().splitlines()
                last = f": {words[-1]}" if words else ""
                reasons.append(f"{pod.metadata.name} {ended.reason or 'ended'} (exit {ended.exit_code}){last}")
        if pod.status.phase == "Failed" and pod.status.reason and not pod.status.container_statuses:
            reasons.append(f"{pod.metadata.name} {pod.status.reason}: {pod.status.message or ''}")
    return f"; {'; '.join(reasons)}" if reasons else ""
