"""LinkedIn: the official data-export ZIP, posts (Shares.csv) and articles.

There is no crawler for LinkedIn: its terms forbid one, its pages ask for a login, and scraping with a person's
password puts their account at risk. The export is complete, free and the person's own
(Settings, Data privacy, Get a copy of your data).
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

from llm_twin.collection.records import Event, Failure, Found, canonicalize_url
from llm_twin.collection.sources.archives import check_members, find_member, open_archive, read_member
from llm_twin.collection.sources.context import Context, existing_path, is_url
from llm_twin.collection.sources.exports import identify_export
from llm_twin.errors import InputError

NAME = "linkedin"
COMPLETE = True

_COLUMNS = {"date": "Date", "sharelink": "ShareLink", "sharecommentary": "ShareCommentary", "sharedurl": "SharedUrl",
            "visibility": "Visibility"}  # fmt: skip
_VISIBLE = ("", "MEMBER_NETWORK", "PUBLIC", "ANYONE", "LOGGED_IN_MEMBERS")
_HASHTAG = re.compile(r"(?<![\w&/])#(\w+)")


def matches(location: str) -> bool:
    """A ZIP that is a LinkedIn export, or a LinkedIn address (refused with an explanation)."""
    if is_url(location):
        host = urlsplit(location).hostname or ""
        return host == "linkedin.com" or host.endswith(".linkedin.com")
    return identify_export(location) == "linkedin"


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield the posts and articles of an export. Raises InputError for an address, or a ZIP that is no export."""
    if is_url(location):
        raise InputError(
            f"{location}: LinkedIn is not crawled",
            "get your export (Settings, Data privacy, Get a copy of your data) and give the ZIP's path",
        )
    for event in read_export(location, context):
        yield event


def read_export(location: str, context: Context) -> list[Event]:
    """All public posts and published articles of an export."""
    path = existing_path(location)
    events: list[Event] = []
    with open_archive(path) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for item in check_members(archive, location):
            if isinstance(item, Failure):
                events.append(item)
            else:
                members[item.filename] = item
        shares = find_member(list(members), "Shares.csv")
        articles = [n for n in members if "Articles" in PurePosixPath(n).parts[:-1] and n.endswith(".html")]
        if shares is None and not articles:
            raise InputError(
                f"{location} is no LinkedIn export: neither Shares.csv nor Articles/ in it",
                "ask LinkedIn for a copy of your data, with posts and articles",
            )
        if shares is not None:
            table = read_member(archive, members[shares], location, context.max_file_bytes)
            events += [table] if isinstance(table, Failure) else read_shares(table, f"{location}!{shares}")
        for name in articles:
            raw = read_member(archive, members[name], location, context.max_file_bytes)
            event = raw if isinstance(raw, Failure) else read_article(raw, f"{location}!{name}")
            if event is not None:
                events.append(event)
    return events


def read_shares(table: bytes, where: str) -> list[Event]:
    """Posts of Shares.csv; reshares without a word of the author's own are left out."""
    text = table.decode("utf-8-sig", errors="replace")
    try:
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        return [Failure(where, "invalid-csv", str(error))]
    header_at = next((i for i, row in enumerate(rows[:10]) if _find_columns(row)), None)
    if header_at is None:
        seen = rows[0] if rows else []
        return [
            Failure(where, "odd-columns", f"expected Date, ShareLink, ShareCommentary; got {', '.join(seen)[:200]}")
        ]
    columns = _find_columns(rows[header_at]) or {}
    events: list[Event] = []
    for number, row in enumerate(rows[header_at + 1 :], start=header_at + 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < len(rows[header_at]):
            events.append(Failure(f"{where}#{number}", "odd-row", f"{len(row)} columns of {len(rows[header_at])}"))
            continue
        cell = {name: row[at] for name, at in columns.items()}
        event = _read_share(cell, f"{where}#{number}")
        if event is not None:
            events.append(event)
    return events


def _find_columns(row: list[str]) -> dict[str, int] | None:
    found = {name: at for at, cell in enumerate(row) if (name := _COLUMNS.get(re.sub(r"\W", "", cell).lower()))}
    return found if {"Date", "ShareLink", "ShareCommentary"} <= set(found) else None


def _read_share(cell: dict[str, str], where: str) -> Event | None:
    words = unwrap_commentary(cell["ShareCommentary"])
    if not words.strip():
        return None
    if cell.get("Visibility", "").strip().upper() not in (
        "",
        "MEMBER_NETWORK",
        "PUBLIC",
        "ANYONE",
        "LOGGED_IN_MEMBERS",
    ):
        return None
    link = cell["ShareLink"].strip()
    if not is_url(link):
        return Failure(where, "no-url", f"its ShareLink is {link[:100]!r}")
    metadata: dict[str, Any] = {}
    if is_url(cell.get("SharedUrl", "")):
        metadata["shared_url"] = cell["SharedUrl"].strip()
    hints = {"published": cell["Date"], "tags": _HASHTAG.findall(words), "metadata": metadata}
    raw = "\x1f".join([cell["Date"], link, cell["ShareCommentary"]]).encode()
    return Found(canonicalize_url(link), "linkedin", "post", raw, "text", hints, text=words)


def unwrap_commentary(text: str) -> str:
    """The words of a post as written: the export puts every line of a post in quotation marks of its own."""
    lines = re.split(r"\r?\n", text)
    if (
        len(lines) > 1
        and all(line.endswith('"') for line in lines[:-1])
        and all(line.startswith('"') for line in lines[1:])
    ):
        bare = [lines[0][:-1], *(line[1:-1] for line in lines[1:-1]), lines[-1][1:]]
        lines = [line.replace('""', '"') for line in bare]
    return "\n".join(line.rstrip() for line in lines).strip()


def read_article(raw: bytes, where: str) -> Event | None:
    """One article of the export's Articles folder; None for a draft."""
    soup = BeautifulSoup(raw.decode("utf-8", errors="replace"), "lxml")
    heading = soup.select_one("h1")
    link = soup.select_one("h1 a[href], a.canonical[href]")
    href = str(link.get("href", "")) if link is not None else ""
    slug = PurePosixPath(where.partition("!")[2]).stem
    url = canonicalize_url(href) if is_url(href) else f"https://www.linkedin.com/pulse/{slug}"
    published = soup.select_one("p.published")
    if published is None and soup.select_one("p.created") is not None and "Published" not in soup.get_text():
        return None
    title = (heading or soup.select_one("title") or soup).get_text(" ", strip=True)[:500]
    dated = published.get_text() if published is not None else ""
    for part in soup.select("h1, p.created, p.published, title, head, style, img"):
        part.decompose()
    if not soup.get_text(strip=True):
        return Failure(where, "empty", "an article without text")
    when = re.search(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?", dated)
    hints = {"title": title, "published": when[0] if when else "", "url": url}
    return Found(url, "linkedin", "article", raw, "article-html", hints, text=str(soup.body or soup))
