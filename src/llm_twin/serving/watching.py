"""New versions for a server that runs: its configuration file and the prompt registry, looked at once a second."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from llm_twin.errors import TwinError
from llm_twin.serving.prompt_watch import PromptWatch
from llm_twin.serving.service import Service
from llm_twin.serving.twins import ServerConfig, Twin, read_server_config

logger = logging.getLogger("llm_twin.serving")


def at_release(config: ServerConfig, predictor_host: str | None, environment: dict[str, str]) -> ServerConfig:
    """The configuration as a cluster's release sets it: the predictor that KServe names, and the versions
    that LLM_TWIN_RELEASE and LLM_TWIN_INDEX hold, which answers and traces carry."""
    predictor = f"http://{predictor_host}/v1" if predictor_host else config.predictor
    versions = {"release": environment.get("LLM_TWIN_RELEASE"), "index": environment.get("LLM_TWIN_INDEX")}
    given = {key: value for key, value in versions.items() if value}
    twins = [twin.model_copy(update=given) for twin in config.twins]
    return config.model_copy(update={"predictor": predictor, "twins": twins})


def watch_versions(
    service: Service, path: Path, twins: list[Twin], prompts: PromptWatch, every_seconds: float = 1.0
) -> None:
    """Take over new versions of prompt, adapter, index and recipe when the configuration file `path` changes (`twins`
    is what it held) or an alias of the registry moves; what is wrong changes nothing."""
    seen = path.stat().st_mtime_ns
    while not service.stopping:
        time.sleep(every_seconds)
        try:
            changed = path.stat().st_mtime_ns
            if changed != seen:
                seen = changed
                fresh = at_release(read_server_config(path), None, dict(os.environ)).twins
                take_over(service, fresh, prompts)
                twins = fresh
                logger.info("new versions from %s", path)
            elif prompts.changed.is_set():
                take_over(service, twins, prompts)
                logger.info("new prompts from the registry")
        except (OSError, TwinError) as error:
            logger.warning("the configuration stays as it was: %s", error)
    prompts.close()


def take_over(service: Service, twins: list[Twin], prompts: PromptWatch) -> None:
    """Answer new requests with these twins and the prompts that are known for them. Raises InputError."""
    prompts.changed.clear()
    prompts.want(twins)
    service.swap(*prompts.apply(twins))
