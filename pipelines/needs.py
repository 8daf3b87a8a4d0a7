"""Which systems each step talks to: on a cluster it gets their addresses and Secrets, and no others.

Names and keys are those of manifests/config; a test compares this table with the settings that each component reads.
"""

from __future__ import annotations

from typing import Any

ENDPOINTS, QUIET = "twin-endpoints", ("MLFLOW_DISABLE_TELEMETRY", "RAGAS_DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY")
# system → keys of ConfigMap twin-endpoints, and Secrets with (key, variable, optional)
SYSTEMS: dict[str, tuple[tuple[str, ...], dict[str, tuple[tuple[str, str], ...]]]] = {
    "warehouse": (("LLM_TWIN_MONGODB_DATABASE",), {"twin-mongodb": (("url", "LLM_TWIN_MONGODB_URL"),)}),
    "index": (("LLM_TWIN_QDRANT_URL",), {"twin-qdrant": (("api-key", "LLM_TWIN_QDRANT_API_KEY"),)}),
    "registry": (("LLM_TWIN_MLFLOW_TRACKING_URI",), {}),
    "exports": (
        ("LLM_TWIN_MLFLOW_EXPORTS", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
        {
            "twin-object-storage": (
                ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
                ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
            )
        },
    ),
    "hub": ((), {"twin-hub": (("HF_TOKEN", "HF_TOKEN"),)}),
    "serving": (("LLM_TWIN_SERVING_URL",), {"twin-serving": (("key", "LLM_TWIN_SERVING_KEY"),)}),
    "objects": (
        ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"),
        {
            "twin-object-storage": (
                ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
                ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
            )
        },
    ),
    "llm": ((), {"twin-llm": (("base-url", "LLM_TWIN_LLM_BASE_URL"), ("api-key", "LLM_TWIN_LLM_API_KEY"))}),
}
OPTIONAL_SECRETS = {"twin-hub", "twin-llm", "twin-serving"}
NEEDS: dict[str, tuple[str, ...]] = {
    "collect-documents": ("warehouse",),
    "clean-documents": ("warehouse",),
    "index-chunks": ("index",),
    "sync-index": ("warehouse", "index"),
    "plan-sync": ("warehouse", "index"),
    "sync-shard": ("warehouse", "index"),
    "finish-sync": ("warehouse", "index"),
    "build-datasets": ("registry", "llm"),
    "prepare-base": ("hub",),
    "train-sft": ("registry",),
    "train-dpo": ("registry",),
    "train-on-nodes": ("registry",),
    "report-authors": ("registry",),
    "find-champion": ("registry",),
    "evaluate-twin": ("index", "registry", "exports", "llm"),
    "register-models": ("registry", "exports"),
    "ask-twin": ("index", "registry"),
    "report-drift": ("registry",),
    "plan-batch": ("serving", "objects"),
    "ask-shard": ("serving",),
    "join-answers": ("objects",),
}


def attach_needs(task: Any) -> None:
    """Give a task the addresses and Secrets of the systems that its component talks to."""
    from kfp import kubernetes

    keys = set(QUIET)
    for system in NEEDS.get(task.component_spec.name, ()):
        own, secrets = SYSTEMS[system]
        keys.update(own)
        for secret, pairs in secrets.items():
            kubernetes.use_secret_as_env(task, secret, dict(pairs), optional=secret in OPTIONAL_SECRETS)
    kubernetes.use_config_map_as_env(task, ENDPOINTS, {key: key for key in sorted(keys)})
