"""The LLM Engineer's Handbook's data-warehouse export: one folder of JSON files, with many authors in it.

ArticleDocument.json, PostDocument.json, RepositoryDocument.json and UserDocument.json, as its own export command
writes them: a list of records each. Every record names its author; the people are records of UserDocument.json.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_twin.collection.records import Event, Failure, Found, canonicalize_url, slugify
from llm_twin.collection.sources.context import Context, existing_path, is_url
from llm_twin.collection.sources.page_text import trim_page
from llm_twin.collection.sources.repository import make_text
from llm_twin.documents import Author, Kind, Platform
from llm_twin.errors import InputError

NAME = "handbook"
COMPLETE = True

KINDS: dict[str, Kind] = {
    "ArticleDocument.json": "article",
    "PostDocument.json": "post",
    "RepositoryDocument.json": "repository",
}


def matches(location: str) -> bool:
    """A folder with one of the export's files in it."""
    return not is_url(location) and any((Path(location).expanduser() / name).is_file() for name in KINDS)


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield every record of the export with its own author. Raises InputError if it is no export."""
    folder = existing_path(location)
    if not matches(location):
        raise InputError(f"{location} is no handbook export", f"expected one of {', '.join(KINDS)} in it")
    authors = read_authors(folder)
    wanted = {a.id for a in authors.values() if context.author.id == a.id or context.author.name == a.name}
    for name, kind in KINDS.items():
        if not (folder / name).is_file():
            continue
        for number, record in enumerate(_read_list(folder / name)):
            event = read_record(record, kind, authors, f"{location}/{name}#{number}")
            if isinstance(event, Found) and wanted and event.author is not None and event.author.id not in wanted:
                continue
            yield event


def _read_list(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON: {error}", "export it again") from error
    if isinstance(content, dict):  # some versions wrap the list
        content = content.get("artifact_data", [])
    if not isinstance(content, list):
        raise InputError(f"{path} holds no list", "export it again")
    return content


def read_authors(folder: Path) -> dict[str, Author]:
    """The export's people by the id that its records refer to."""
    path = folder / "UserDocument.json"
    users = _read_list(path) if path.is_file() else []
    authors = {}
    for user in users:
        if isinstance(user, dict) and (
            name := " ".join(str(user.get(k) or "") for k in ("first_name", "last_name")).strip()
        ):
            authors[str(user.get("_id") or user.get("id"))] = Author(id=slugify(name), name=name)
    return authors


def read_record(record: Any, kind: Kind, authors: dict[str, Author], where: str) -> Event:
    """One record as a found thing."""
    if not isinstance(record, dict):
        return Failure(where, "invalid-record", "not an object")
    name = str(record.get("author_full_name") or "").strip()
    author = authors.get(str(record.get("author_id")))
    if author is None and name:
        author = Author(id=slugify(name), name=name)
    if author is None:
        return Failure(where, "no-author", "it names no author")
    content = record.get("content")
    link = str(record.get("link") or "")
    if not is_url(link):
        return Failure(where, "no-url", f"its link is {link[:100]!r}")
    if not isinstance(content, dict) or not content:
        return Failure(link, "empty", "no content")
    raw = json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
    url = canonicalize_url(link)
    platform = _platform(str(record.get("platform") or ""), url)
    guesses: dict[str, Any] = {}
    hints: dict[str, Any] = {"url": url, "language": str(content.get("language") or "")[:2] or None}
    if kind == "repository":
        text, _ = make_text({str(path).replace("\\", "/"): str(body).encode() for path, body in content.items()})
        hints["title"] = str(record.get("name") or urlsplit(url).path.rstrip("/").split("/")[-1])
    else:
        values = {str(key).lower(): value for key, value in content.items()}
        text = str(values.get("content") or "\n\n".join(str(v) for v in content.values() if v))
        title = str(values.get("title") or "")
        hints |= {"title": "" if title.strip() in ("", "[no-title]") else title, "subtitle": values.get("subtitle")}
        page = trim_page(text)
        text = page.text
        hints["title"] = page.title or hints["title"]
        guesses = {"published": page.published, "subtitle": page.subtitle}
    return Found(url, platform, kind, raw, "markdown", hints, guesses, text, author=author)


def _platform(name: str, url: str) -> Platform:
    host = (urlsplit(url).hostname or "").lower()
    for known in ("medium", "substack", "linkedin", "github"):
        if known in name.lower() or host == f"{known}.com" or host.endswith(f".{known}.com"):
            return known  # type: ignore[return-value]
    return "site"
