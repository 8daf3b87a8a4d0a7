"""Step: train on several GPUs or nodes, as a Kubeflow Trainer TrainJob."""

from kfp import dsl

from components.images import CORE_IMAGE, TRAIN_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def run_trainjob(
    author: dict, namespace: str, arguments: list, pool: dict, environment: dict, timeout_seconds: int = 86400,
    image: str = TRAIN_IMAGE,
) -> str:  # fmt: skip
    """Create the job once, follow it, delete it when cancelled; return its last status as JSON."""
    import json

    from kubernetes import client, config

    from llm_twin.recipes import NodePool
    from llm_twin.training.trainjob import build_trainjob, run_trainjob

    config.load_config()
    manifest = build_trainjob(author["id"], namespace, image, arguments, NodePool.model_validate(pool), environment)
    return json.dumps(run_trainjob(client.ApiClient(), manifest, timeout_seconds))
