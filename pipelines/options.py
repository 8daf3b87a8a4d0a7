"""What a pipeline is built with: which code its cache keys stand for, and where its steps run on a cluster."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_code
from llm_twin.recipe_training import NodePool
from pipelines.needs import attach_needs

HOURS = 3600


@dataclass(frozen=True)
class BuildOptions:
    """`pool` None: one machine, no Kubernetes settings; `code_from_image`: the image's tag says which code runs."""

    pool: NodePool | None = None
    code_from_image: bool = False

    def code_of(self, component: Any) -> str:
        """Digest of all of llm_twin's code that a component can reach; empty where the image's tag says it."""
        return "" if self.code_from_image else _digest_component(Path(inspect.getfile(component.python_func)))

    def place(self, task: Any, *, gpu: bool = False, retries: int = 2) -> Any:
        """Give a task what it needs on a cluster: retries, and the recipe's node pool for GPU steps."""
        if self.pool is None:
            return task
        from kfp import kubernetes

        attach_needs(task)
        task.set_retry(num_retries=retries, backoff_duration="30s", backoff_factor=2)
        kubernetes.set_timeout(task, (24 if gpu else 6) * HOURS)
        if gpu:
            _place_on_pool(task, self.pool)
        else:
            task.set_cpu_request("500m").set_memory_request("1Gi").set_memory_limit("6Gi")
        return task

    def share_volume(self, task: Any) -> Any:
        """Mount the volume that a TrainJob's pods share, and let the task wait as long as a training may take."""
        from kfp import kubernetes

        from llm_twin.training.trainjob import SHARED

        kubernetes.mount_pvc(task, pvc_name=self.pool.training_volume, mount_path=SHARED)
        kubernetes.set_timeout(task, 24 * HOURS)
        return task


def _place_on_pool(task: Any, pool: NodePool) -> None:
    from kfp import kubernetes

    task.set_cpu_limit(pool.cpu).set_memory_limit(pool.memory)
    if pool.accelerators:
        task.set_accelerator_type(pool.accelerator).set_accelerator_limit(pool.accelerators)
    for key, value in pool.node_selector.items():
        kubernetes.add_node_selector(task, label_key=key, label_value=value)
    if pool.toleration_key:
        kubernetes.add_toleration(task, key=pool.toleration_key, operator="Exists", effect="NoSchedule")
    if pool.shared_memory:
        kubernetes.empty_dir_mount(
            task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=pool.shared_memory
        )
    if pool.ephemeral_storage:
        kubernetes.empty_dir_mount(
            task, volume_name="scratch", mount_path="/scratch", size_limit=pool.ephemeral_storage
        )
    if pool.queue:
        kubernetes.add_pod_label(task, label_key="kueue.x-k8s.io/queue-name", label_value=pool.queue)


def _digest_component(file: Path) -> str:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llm_twin"):
            modules.update({node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)})
        elif isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names if alias.name.startswith("llm_twin"))
    return digest_code(*sorted(modules))
