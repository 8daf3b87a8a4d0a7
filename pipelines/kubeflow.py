"""Submit a pipeline to Kubeflow Pipelines with the kfp SDK, and follow it."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_twin.errors import InputError, ServiceError
from llm_twin.settings import KubeflowSettings

# Where Kubeflow projects the token that its API takes from pods; the variable is kfp's own.
POD_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
POD_TOKEN_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"


def compile_pipeline(pipeline: Any, target: Path) -> None:
    """Write the pipeline's IR YAML."""
    from kfp import compiler

    target.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(target))


def submit(pipeline: Any, arguments: dict[str, Any], settings: KubeflowSettings, run_name: str) -> str:
    """Create the run; returns its id. Raises InputError without a reachable, willing API."""
    with _named_failures(settings), tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_pipeline(pipeline, package)
        run = _connect(settings).create_run_from_pipeline_package(
            str(package),
            arguments=arguments,
            run_name=run_name,
            experiment_name=settings.experiment,
            namespace=settings.namespace or None,
        )
    return str(run.run_id)


def wait(run_id: str, settings: KubeflowSettings, timeout_seconds: int) -> str:
    """Wait for a run's end; returns its state. Raises ServiceError if it did not succeed."""
    with _named_failures(settings):
        state = str(_connect(settings).wait_for_run_completion(run_id, timeout_seconds, sleep_duration=5).state)
    if state.upper() != "SUCCEEDED":
        raise ServiceError(f"run {run_id} ended as {state}", "open it in the Kubeflow UI: the failed step has its log")
    return state


def _connect(settings: KubeflowSettings) -> Any:
    import kfp
    from kfp.client import ServiceAccountTokenVolumeCredentials

    in_pod = bool(os.environ.get(POD_TOKEN_VARIABLE)) or POD_TOKEN.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # says that it wants a v2 backend, whatever it talks to
        return kfp.Client(
            host=settings.host or None,
            namespace=settings.namespace or "kubeflow",
            existing_token=settings.token.get_secret_value() if settings.token else None,
            credentials=ServiceAccountTokenVolumeCredentials() if in_pod and not settings.token else None,
            ssl_ca_cert=settings.ssl_ca_cert or None,
        )


@contextmanager
def _named_failures(settings: KubeflowSettings) -> Iterator[None]:
    import kfp_server_api
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    remedy = "set LLM_TWIN_KFP_HOST (and LLM_TWIN_KFP_TOKEN), or run it inside the cluster"
    where = settings.host or "the cluster's own address"
    try:
        yield
    except (HTTPError, OSError, ConfigException) as error:
        raise InputError(
            f"cannot reach Kubeflow Pipelines at {where}: {' '.join(str(error).split())}", remedy
        ) from error
    except kfp_server_api.ApiException as error:
        raise InputError(f"Kubeflow Pipelines at {where} refused: {error.status} {error.reason}", remedy) from error
    except TimeoutError as error:
        raise ServiceError(f"the run at {where} has not ended yet", "look at it in the Kubeflow UI") from error
