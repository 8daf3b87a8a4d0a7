"""GitHub: a person's repositories over the REST API, or one repository, by the API or a clone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from llm_twin.collection.records import Event
from llm_twin.collection.sources import git
from llm_twin.collection.sources.context import Context, is_url

NAME = "github"
COMPLETE = False


def matches(location: str) -> bool:
    """A github.com address."""
    return is_url(location) and urlsplit(location).hostname in ("github.com", "www.github.com")


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield a repository."""
    async for event in git.collect(location, context):
        yield event
