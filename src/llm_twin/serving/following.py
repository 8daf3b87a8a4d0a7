"""Twins that come, change and go while `twin serve` runs: from their files to predictor and transformer.

An adapter is loaded at the predictor before the transformer's configuration names it, and unloaded when the last
request that could have chosen it has ended. A changed adapter gets a name of its own, so that requests in flight end
with the one they began with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from llm_twin.digests import digest_bytes
from llm_twin.errors import ServiceError
from llm_twin.serving.probe import Served
from llm_twin.serving.processes import write_json
from llm_twin.serving.twins import Twin, TwinFile, model_folder, plan_serving, read_server_config

UNLOAD_AFTER_SECONDS = 150.0  # longer than the transformer waits for its predictor
LOAD_TIMEOUT_SECONDS = 300.0


@dataclass
class Following:
    """What is served now; `follow` brings it in step with the files of the twins."""

    served: Served
    twins: dict[str, Twin]
    loaded: dict[str, str]  # adapter at the predictor → its folder
    unused: dict[str, float] = field(default_factory=dict)  # adapter → since when (the clock's seconds)
    clock: Callable[[], float] = time.monotonic


def start_following(served: Served) -> Following:
    """Begin with what was served at the start."""
    return Following(served, {twin.name: twin for twin in served.twins}, dict(served.adapters))


def follow(state: Following, files: Sequence[TwinFile]) -> list[str]:
    """Serve these files' twins; returns a line for each that came, changed, went, or could not be taken over.

    Raises ServiceError where the predictor refuses an adapter: nothing has changed then.
    """
    fresh: dict[str, Twin] = {}
    adapters: dict[str, str] = {}
    told = []
    for file in files:
        problem = _why_not(file, state.served)
        name = file.author.id
        if problem:
            told.append(f"{name} {'stays as it was' if name in state.twins else 'is left out'}: {problem}")
            if name in state.twins:
                fresh[name] = state.twins[name]
            continue
        (twin,), _, wanted = plan_serving([file])
        if not state.served.endpoint:
            names = {one: _name_of(one, folder, state.loaded) for one, folder in wanted.items()}
            adapters |= {names[one]: folder for one, folder in wanted.items()}
            twin = _renamed(twin, names)
        fresh[name] = twin
    if not fresh:
        return ["the last twin stays: a server needs one"] if state.twins else []
    if fresh == state.twins:
        return told
    for name, folder in adapters.items():
        if name not in state.loaded:
            _change_adapter(state, "load", {"lora_name": name, "lora_path": folder})
            state.loaded[name] = folder
    config = read_server_config(state.served.config)
    twins = [twin.model_dump(mode="json") for twin in fresh.values()]
    write_json(state.served.config, {**config.model_dump(mode="json"), "twins": twins})
    told += [f"{name} came" for name in fresh if name not in state.twins]
    told += [f"{name} went" for name in state.twins if name not in fresh]
    told += [f"{name} changed" for name in fresh if name in state.twins and fresh[name] != state.twins[name]]
    state.twins = fresh
    return told


def unload_unused(state: Following) -> None:
    """Take adapters off the predictor that no twin has chosen for a while."""
    chosen = {name for twin in state.twins.values() for name in (twin.model, *twin.variants.values())}
    for name in list(state.loaded):
        if name in chosen:
            state.unused.pop(name, None)
        elif state.clock() - state.unused.setdefault(name, state.clock()) > UNLOAD_AFTER_SECONDS:
            _change_adapter(state, "unload", {"lora_name": name})
            state.loaded.pop(name), state.unused.pop(name)


def _why_not(file: TwinFile, served: Served) -> str:
    """Why the running servers cannot take this twin; empty where they can."""
    if file.serving.endpoint.rstrip("/") != served.endpoint:
        return "it answers through another endpoint, start the server again"
    if not served.endpoint and model_folder(file) != served.base:
        return "it stands on another base model, start the server again"
    if file.features.embedder != served.twins[0].embedder:
        return "its index has another embedder, start the server again"
    return ""


def _name_of(name: str, folder: str, loaded: dict[str, str]) -> str:
    """The predictor's name for an adapter: the one it has, else its own, else one with a digest."""
    apart = f"{name}-{digest_bytes(folder.encode())[:8]}"
    return apart if apart in loaded or loaded.get(name, folder) != folder else name


def _renamed(twin: Twin, names: dict[str, str]) -> Twin:
    variants = {kind: names.get(model, model) for kind, model in twin.variants.items()}
    return twin.model_copy(update={"model": names.get(twin.model, twin.model), "variants": variants})


def _change_adapter(state: Following, verb: str, body: dict[str, str]) -> None:
    url = f"{state.served.predictor_url}/v1/{verb}_lora_adapter"
    try:
        response = httpx.post(url, json=body, timeout=LOAD_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise ServiceError(f"the predictor cannot be reached: {error!r}", "see predictor.log") from error
    if response.status_code != 200:
        raise ServiceError(f"the predictor refused {body['lora_name']}: {response.text[:200]}", "see predictor.log")
