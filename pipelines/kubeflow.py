"""Submit a pipeline to Kubeflow Pipelines with the kfp SDK, and follow it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from llm_twin.errors import InputError, ServiceError
from llm_twin.settings import KubeflowSettings


def compile_pipeline(pipeline: Any, target: Path) -> None:
    """Write the pipeline's IR YAML."""
    from kfp import compiler

    target.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(target))


def submit(
    pipeline: Any,
    arguments: dict[str, Any],
    settings: KubeflowSettings,
    run_name: str,
    *,
    caching: bool = True,
) -> str:
    """Create the run; returns its id. Raises InputError without a reachable, willing API."""
    import kfp
    import kfp_server_api
    from urllib3.exceptions import HTTPError

    client_arguments = {
        "host": settings.host or None,
        "namespace": settings.namespace or "kubeflow",
        "existing_token": settings.token.get_secret_value() if settings.token else None,
        "ssl_ca_cert": settings.ssl_ca_cert or None,
    }
    remedy = "set LLM_TWIN_KFP_HOST (and LLM_TWIN_KFP_TOKEN), or run it inside the cluster"
    try:
        client = kfp.Client(**client_arguments)
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "pipeline.yaml"
            compile_pipeline(pipeline, package)
            run = client.create_run_from_pipeline_package(
                str(package),
                arguments=arguments,
                run_name=run_name,
                experiment_name=settings.experiment,
                namespace=settings.namespace or None,
                enable_caching=caching,
            )
    except (HTTPError, OSError) as error:
        raise InputError(
            f"cannot reach Kubeflow Pipelines at {settings.host or 'the cluster'}: {error}", remedy
        ) from error
    except kfp_server_api.ApiException as error:
        raise InputError(f"Kubeflow Pipelines refused: {error.status} {error.reason}", remedy) from error
    return str(run.run_id)


def wait(run_id: str, settings: KubeflowSettings, timeout_seconds: int) -> str:
    """Wait for a run's end; returns its state. Raises ServiceError if it did not succeed."""
    import kfp

    client = kfp.Client(
        host=settings.host or None,
        namespace=settings.namespace or "kubeflow",
        existing_token=settings.token.get_secret_value() if settings.token else None,
        ssl_ca_cert=settings.ssl_ca_cert or None,
    )
    state = str(client.wait_for_run_completion(run_id, timeout_seconds).state)
    if state.upper() != "SUCCEEDED":
        raise ServiceError(f"run {run_id} ended as {state}", "open it in the Kubeflow UI: the failed step has its log")
    return state
