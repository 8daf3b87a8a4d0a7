"""Where things are, and their secrets: read from the environment (`LLM_TWIN_…`), built at entry points only.

What a run does is a recipe (`recipes.py`); how it is hosted is kustomize. Stage code never imports this module:
what it needs is passed in.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _config(prefix: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="ignore")


class HomeSettings(BaseSettings):
    """Local state: one folder, `LLM_TWIN_HOME`."""

    model_config = _config("LLM_TWIN_")

    home: Path = Path("~/.llm-twin")

    @property
    def root(self) -> Path:
        """The folder as an absolute path."""
        return self.home.expanduser().absolute()


class WarehouseSettings(BaseSettings):
    """MongoDB, or what speaks its wire protocol."""

    model_config = _config("LLM_TWIN_MONGODB_")

    url: SecretStr = SecretStr("mongodb://127.0.0.1:27017/?directConnection=true")
    database: str = "llm_twin"


class IndexSettings(BaseSettings):
    """Qdrant, or what speaks its REST interface."""

    model_config = _config("LLM_TWIN_QDRANT_")

    url: str = "http://127.0.0.1:6333"
    api_key: SecretStr | None = None

    @property
    def key(self) -> str | None:
        """The key as text, where there is one."""
        return self.api_key.get_secret_value() if self.api_key else None


class EmbeddingSettings(BaseSettings):
    """An embedding endpoint's key, where the recipe's embedder is one."""

    model_config = _config("LLM_TWIN_EMBEDDING_")

    api_key: SecretStr | None = None

    @property
    def key(self) -> str:
        """The key as text; empty without one."""
        return self.api_key.get_secret_value() if self.api_key else ""


class RegistrySettings(BaseSettings):
    """MLflow: registry, metrics, prompts and traces."""

    model_config = _config("LLM_TWIN_MLFLOW_")

    tracking_uri: str = ""  # empty: SQLite under LLM_TWIN_HOME
    exports: str = ""  # a folder or s3://…; empty: a folder under LLM_TWIN_HOME

    def resolve(self, home: Path) -> str:
        """The tracking URI, or a SQLite file under `home` where none is set."""
        return self.tracking_uri or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}"

    def resolve_exports(self, home: Path) -> str:
        """Where registered models are exported, or a folder under `home` where none is set."""
        return self.exports or str(home / "exports")


class HubSettings(BaseSettings):
    """The model hub; the token is the one that huggingface_hub itself reads."""

    model_config = _config("LLM_TWIN_HUB_")

    token: SecretStr | None = Field(default=None, validation_alias=AliasChoices("HF_TOKEN", "LLM_TWIN_HUB_TOKEN"))


class SourceSettings(BaseSettings):
    """Secrets of what is collected from; GitHub's token is the one that its own tools read."""

    model_config = _config("LLM_TWIN_SOURCE_")

    github_token: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("GITHUB_TOKEN", "LLM_TWIN_GITHUB_TOKEN")
    )


class LlmSettings(BaseSettings):
    """An optional OpenAI-compatible endpoint that writes instructions, expands queries and judges."""

    model_config = _config("LLM_TWIN_LLM_")

    base_url: str = ""
    api_key: SecretStr | None = None
    model: str = ""

    @property
    def key(self) -> str:
        """The key in the clear; empty if none is set."""
        return self.api_key.get_secret_value() if self.api_key else ""


class ServingSettings(BaseSettings):
    """The server that batch steps ask, the key that `twin ask` and they show to it, and the one that the transformer
    shows to its predictor."""

    model_config = _config("LLM_TWIN_SERVING_")

    url: str = ""  # of a batch's steps on a cluster
    key: SecretStr = SecretStr("")
    predictor_key: SecretStr = SecretStr("")


class BatchSettings(BaseSettings):
    """Where files of a batch on a cluster are put, where they are not there yet."""

    model_config = _config("LLM_TWIN_BATCH_")

    uri: str = ""  # s3://bucket/prefix


class QuantizeSettings(BaseSettings):
    """The quantization environment's own interpreter (its packages conflict with kfp's)."""

    model_config = _config("LLM_TWIN_QUANTIZE_")

    python: Path | None = None


class KubeflowSettings(BaseSettings):
    """The Kubeflow Pipelines API; without a host, the in-cluster one."""

    model_config = _config("LLM_TWIN_KFP_")

    host: str = ""
    token: SecretStr | None = None
    namespace: str = ""
    experiment: str = "llm-twin"
    ssl_ca_cert: str = ""
