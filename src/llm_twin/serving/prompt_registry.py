"""The twin's prompts in MLflow's prompt registry: versions that never change, and aliases that say which one counts.

A registered prompt `twin_system` or `twin_question` is a Jinja template that takes the place of the package's. One
author's own is `twin_system.<author>`; it goes before the one for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from llm_twin.errors import InputError, StoreError
from llm_twin.serving.twins import PROMPT_NAMES, check_template
from llm_twin.tracing import open_experiment

EXPERIMENT = "llm-twin-prompts"


@dataclass(frozen=True)
class Registered:
    """One version of a registered prompt; `name` has the author's id in it where it is one author's own."""

    name: str
    version: int
    template: str
    aliases: tuple[str, ...] = ()
    message: str = ""

    @property
    def label(self) -> str:
        """What answers and traces call it, such as `twin_system/3`."""
        return f"{self.name}/{self.version}"


def registered_name(name: str, author: str = "") -> str:
    """The registry's name of a prompt, for all authors or for one. Raises InputError for a prompt no twin has."""
    if name not in PROMPT_NAMES:
        raise InputError(f"no twin has a prompt {name!r}", f"one of: {', '.join(PROMPT_NAMES)}")
    return f"{name}.{author}" if author else name


def register(
    tracking_uri: str, name: str, template: str, *, author: str = "", alias: str = "", message: str = ""
) -> Registered:
    """Register a new version, and give it the alias if one is named; the text that is newest is not registered again.

    Raises InputError for a template that no twin could write, StoreError where the registry refuses.
    """
    full = registered_name(name, author)
    check_template(name, template)
    with _registry(tracking_uri) as genai:
        newest = genai.load_prompt(f"prompts:/{full}@latest", **_FRESH)
        if newest is None or newest.template != template:
            newest = genai.register_prompt(full, template, commit_message=message or None)
        if alias:
            genai.set_prompt_alias(full, alias, newest.version)
            newest = genai.load_prompt(full, newest.version, **_FRESH)
        return _read(newest)


def move_alias(tracking_uri: str, name: str, alias: str, version: int, author: str = "") -> None:
    """Let the alias stand for that version. Raises InputError where there is none, StoreError."""
    full = registered_name(name, author)
    with _registry(tracking_uri) as genai:
        if genai.load_prompt(full, version, **_FRESH) is None:
            raise InputError(f"no version {version} of the prompt {full}", "see `twin prompts list`")
        genai.set_prompt_alias(full, alias, version)


def find(tracking_uri: str, name: str, *, author: str = "", version: int = 0, alias: str = "latest") -> Registered:
    """One version, by number or by alias. Raises InputError where there is none, StoreError."""
    full = registered_name(name, author)
    place = f"prompts:/{full}/{version}" if version else f"prompts:/{full}@{alias}"
    with _registry(tracking_uri) as genai:
        found = genai.load_prompt(place, **_FRESH)
    if found is None:
        raise InputError(f"no prompt {place.removeprefix('prompts:/')}", "see `twin prompts list`")
    return _read(found)


def list_registered(tracking_uri: str) -> list[Registered]:
    """All versions of the twin's prompts, of all authors, newest first for each name."""
    from mlflow import MlflowClient

    with _registry(tracking_uri) as genai:
        names = [prompt.name for prompt in genai.search_prompts()]
        ours = sorted(name for name in names if name.partition(".")[0] in PROMPT_NAMES)
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        versions = [(name, int(one.version)) for name in ours for one in client.search_prompt_versions(name)]
        found = [_read(genai.load_prompt(name, version, **_FRESH)) for name, version in versions]
    return sorted(found, key=lambda one: (one.name, -one.version))


def resolve(tracking_uri: str, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Registered]]:
    """For each pair of alias and author, which version of each prompt the author's twin writes: the author's own with
    that alias, else the one for all; a prompt that has neither is missing. Raises StoreError."""
    with _registry(tracking_uri) as genai:
        known = {prompt.name for prompt in genai.search_prompts()}  # so that authors without prompts cost nothing

        @cache
        def load(full: str, alias: str) -> Registered | None:
            prompt = genai.load_prompt(f"prompts:/{full}@{alias}", **_FRESH) if full in known else None
            return None if prompt is None else _read(prompt)

        found: dict[tuple[str, str], dict[str, Registered]] = {}
        for alias, author in wanted:
            chosen = {name: load(registered_name(name, author), alias) or load(name, alias) for name in PROMPT_NAMES}
            found[alias, author] = {name: one for name, one in chosen.items() if one is not None}
    return found


_FRESH: dict[str, Any] = {"allow_missing": True, "link_to_model": False, "cache_ttl_seconds": 0}


def _read(prompt: Any) -> Registered:
    if not isinstance(prompt.template, str):
        raise InputError(f"the prompt {prompt.name}/{prompt.version} is a chat", "register it as one text")
    aliases = tuple(sorted(prompt.aliases or ()))
    return Registered(prompt.name, int(prompt.version), prompt.template, aliases, prompt.commit_message or "")


@contextmanager
def _registry(tracking_uri: str) -> Iterator[Any]:
    """mlflow.genai, looking at this store."""
    open_experiment(tracking_uri, EXPERIMENT)
    import mlflow
    from mlflow import genai
    from mlflow.exceptions import MlflowException

    mlflow.set_registry_uri(tracking_uri)
    try:
        yield genai
    except (MlflowException, OSError) as error:
        raise StoreError(
            f"the prompt registry at {tracking_uri} refused: {error}", "check LLM_TWIN_MLFLOW_TRACKING_URI"
        ) from error
