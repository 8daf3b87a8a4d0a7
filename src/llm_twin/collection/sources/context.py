"""What a source is given: whose writing, how to fetch, and what is known from before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from llm_twin.collection.http import Fetcher
from llm_twin.collection.records import Event
from llm_twin.documents import Author
from llm_twin.errors import InputError


@dataclass
class Context:
    """`states` maps URLs that this source gave before to what their server said of them."""

    author: Author
    fetcher: Fetcher
    max_pages: int = 2000
    max_file_bytes: int = 10_000_000
    base_url: str = ""
    github_token: str = field(default="", repr=False)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)

    def known_urls(self) -> list[str]:
        """URLs that were articles of this source before, oldest knowledge first."""
        return sorted(url for url, state in self.states.items() if state.get("role") == "page")


class Source(Protocol):
    """A module (or object) that collects from one platform.

    `COMPLETE` says that what it yields is all there is, so that what it no longer yields is gone.
    """

    NAME: str
    COMPLETE: bool

    def matches(self, location: str) -> bool:
        """Whether `location` is this platform's, judging by its form alone."""
        ...

    def collect(self, location: str, context: Context) -> AsyncIterator[Event]:
        """Yield what is there. Raises InputError or SourceError only if nothing at all can be had."""
        ...


def is_url(location: str) -> bool:
    """Whether a location is an http(s) URL rather than a path."""
    return location.lower().startswith(("http://", "https://"))


def existing_path(location: str) -> Path:
    """The path of a file or folder that is there. Raises InputError."""
    path = Path(location).expanduser()
    if not path.exists():
        raise InputError(f"no such file or folder: {location}", "mend the source's location")
    return path
