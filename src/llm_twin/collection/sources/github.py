"""GitHub: a person's own repositories by the REST API, or one repository; its files by a clone, or by the API.

A clone tells who wrote what, so it comes first; where git is missing or refused, the API's tree and contents do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit

from llm_twin.collection.http import FetchError, Response
from llm_twin.collection.records import Event, Failure, Found, ItemError, canonicalize_url
from llm_twin.collection.sources import git
from llm_twin.collection.sources.context import Context, is_url
from llm_twin.collection.sources.repository import is_wanted, make_text
from llm_twin.errors import SourceError

NAME = "github"
COMPLETE = False

API = "https://api.github.com"
PER_PAGE = 100
MAX_WAIT_SECONDS = 60.0
MAX_API_FILES = 200
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


def matches(location: str) -> bool:
    """A github.com address."""
    return is_url(location) and urlsplit(location).hostname in ("github.com", "www.github.com")


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield a repository, or all of a person's own that are no forks. Raises SourceError if the API refuses."""
    names = [part for part in urlsplit(location).path.split("/") if part]
    if not names:
        raise SourceError(f"{location} names nobody", "give https://github.com/NAME or …/NAME/REPOSITORY")
    if len(names) >= 2:
        yield await collect_repository(names[0], names[1].removesuffix(".git"), context)
        return
    async for repository in list_pages(f"{API}/users/{quote(names[0])}/repos?type=owner&per_page={PER_PAGE}", context):
        if repository.get("fork") or repository.get("size") == 0:
            continue
        try:
            yield await collect_repository(names[0], str(repository["name"]), context)
        except ItemError as error:
            yield error.failure
        except SourceError as error:
            yield Failure(str(repository.get("html_url", "")), "source", str(error))


async def collect_repository(owner: str, name: str, context: Context) -> Event:
    """One repository by a clone, or by the API if that cannot be had."""
    url = f"https://github.com/{owner}/{name}"
    if shutil.which("git") is not None:
        try:
            return [event async for event in git.collect(f"{url}.git", context)][0]
        except ItemError:
            raise
        except SourceError:
            pass  # the API may still answer; if not, its error is the clearer one
    return await read_by_api(owner, name, url, context)


async def read_by_api(owner: str, name: str, url: str, context: Context) -> Event:
    """README, docs and code by the API's tree and blobs; who wrote them is unknown, so all files count."""
    base = f"{API}/repos/{quote(owner)}/{quote(name)}"
    about = json.loads((await ask(base, context)).body)
    tree = json.loads((await ask(f"{base}/git/trees/{quote(about['default_branch'])}?recursive=1", context)).body)
    wanted = [
        entry
        for entry in tree.get("tree", [])
        if entry.get("type") == "blob"
        and entry.get("mode") != "120000"
        and is_wanted(entry["path"], entry.get("size", 0))
    ]
    contents: dict[str, bytes] = {}
    for entry in wanted[:MAX_API_FILES]:
        blob = json.loads((await ask(f"{base}/git/blobs/{entry['sha']}", context)).body)
        contents[entry["path"]] = base64.b64decode(blob.get("content", ""))
    text, listed = make_text(contents)
    if not text.strip():
        raise ItemError(url, "empty", "no README, docs or code in it")
    metadata: dict[str, Any] = {
        "name": name,
        "commit": tree.get("sha", ""),
        "files": [{"path": path} for path in listed],
        "left_out": max(0, len(wanted) - MAX_API_FILES),
    }
    hints = {
        "title": name,
        "subtitle": about.get("description"),
        "published": about.get("created_at"),
        "updated": about.get("pushed_at"),
        "tags": about.get("topics") or [],
        "metadata": metadata,
    }
    raw = f"{tree.get('sha', '')}\n{text}".encode()
    return Found(canonicalize_url(url), "github", "repository", raw, "markdown", hints, text=text)


async def list_pages(url: str, context: Context) -> AsyncIterator[dict[str, Any]]:
    """The items of a paginated list, by the Link header's rel="next"."""
    following: str | None = url
    while following:
        response = await ask(following, context)
        items = json.loads(response.body)
        for item in items if isinstance(items, list) else []:
            yield item
        match = _NEXT.search(response.headers.get("link", ""))
        following = match[1] if match and urlsplit(match[1]).hostname == urlsplit(API).hostname else None


async def ask(url: str, context: Context) -> Response:
    """One API call. When the limit is used up, wait for its reset if that is near; else say when it comes."""
    headers = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
    if context.github_token:
        headers["authorization"] = f"Bearer {context.github_token}"
    try:
        response = await context.fetcher.get(url, headers=headers)
    except FetchError as error:
        hint = "wait, or set GITHUB_TOKEN" if error.reason in ("rate-limited", "http-403") else "check the address"
        raise SourceError(f"{url}: {error.reason}: {error.detail}", hint) from error
    if response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        wait = float(reset) - time.time() if reset.isdigit() else 0.0
        if 0 < wait <= MAX_WAIT_SECONDS:
            await asyncio.sleep(wait)
    return response
