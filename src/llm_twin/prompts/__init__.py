"""Every prompt, one .jinja file each beside this module; rendering fails on a missing value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

from llm_twin.digests import digest_bytes
from llm_twin.errors import InputError

FOLDER = Path(__file__).parent


def render_prompt(name: str, **values: Any) -> str:
    """Render prompt `name` (without .jinja). Raises InputError for an unknown name or a missing value."""
    from jinja2 import UndefinedError

    try:
        return _environment().get_template(f"{name}.jinja").render(**values).strip()
    except TemplateNotFound as error:
        raise InputError(f"no prompt {name!r}", f"known: {', '.join(list_prompts())}") from error
    except UndefinedError as error:
        raise InputError(f"prompt {name!r}: {error}", "pass every value that the prompt names") from error


def render_source(source: str, **values: Any) -> str:
    """Render a template that is not of this package, in a sandbox. Raises InputError where it is wrong or a value is
    missing."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        return sandbox.from_string(source).render(**values).strip()
    except TemplateError as error:
        raise InputError(f"the prompt cannot be written: {error}", "pass every value that the prompt names") from error


def make_fence(question: str, passages: Sequence[str]) -> str:
    """A mark around quoted passages that nothing in them can close: it depends on all of them and on the question.

    Delimiters that an attacker cannot know are the first of the ways of "spotlighting" (Hines et al. 2024); a digest in
    place of chance keeps prompts, and so answers, the same for the same question.
    """
    return digest_bytes("\0".join([question, *passages]).encode("utf-8", "surrogatepass"))[:10]


def read_prompt(name: str) -> str:
    """The source of prompt `name`, as written."""
    path = FOLDER / f"{name}.jinja"
    if not path.is_file():
        raise InputError(f"no prompt {name!r}", f"known: {', '.join(list_prompts())}")
    return path.read_text(encoding="utf-8")


def prompt_version(name: str) -> str:
    """The content digest of a prompt, shortened to 12 characters: noted in manifests."""
    return digest_bytes(read_prompt(name).encode())[:12]


def list_prompts() -> list[str]:
    """The names of all prompts."""
    return sorted(path.stem for path in FOLDER.glob("*.jinja"))


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
