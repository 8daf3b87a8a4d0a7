"""A local folder (or file) of Markdown, HTML and plain text, front matter included."""

from __future__ import annotations

import re
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import yaml

from llm_twin.collection.records import Event, Failure, Found, Media, canonicalize_url
from llm_twin.collection.sources.context import Context, existing_path, is_url

NAME = "folder"
COMPLETE = True

MARKDOWN = {".md", ".markdown", ".mdx", ".qmd"}
HTML = {".html", ".htm", ".xhtml"}
TEXT = {".txt", ".text", ".rst", ".org", ".adoc"}

_FRONT_MATTER = re.compile(r"\A\ufeff?(---|\+\+\+)[ \t]*\r?\n(.*?)\r?\n\1[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)")
_PUBLISHED = ("date", "published", "published_at", "pubdate")
_UPDATED = ("updated", "lastmod", "modified", "last_modified_at")
_FIRST_HEADING = re.compile(r"\A\s*#\s+(.+?)\s*#*\s*(?:\n|\Z)")


def matches(location: str) -> bool:
    """A folder, or a file of a kind that it reads."""
    path = Path(location).expanduser()
    return not is_url(location) and (path.is_dir() or path.suffix.lower() in MARKDOWN | HTML | TEXT)


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield every readable file below the folder, in order of path; links and hidden files are left out."""
    root = existing_path(location)
    base = root if root.is_dir() else root.parent
    for path in _walk(root):
        name = path.relative_to(base).as_posix()
        url = f"folder://{base.absolute().name}/{name}"
        try:
            if path.stat().st_size > context.max_file_bytes:
                yield Failure(url, "too-large", f"more than {context.max_file_bytes:,} bytes")
                continue
            raw = path.read_bytes()
        except OSError as error:
            yield Failure(url, "unreadable", str(error))
            continue
        yield read_file(raw, path, url)


def _walk(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.name.startswith((".", "_")) or path.is_symlink() or path.name == "node_modules":
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.suffix.lower() in MARKDOWN | HTML | TEXT:
            yield path


def read_file(raw: bytes, path: Path, url: str) -> Event:
    """One file as a found thing; a date in its name counts where front matter gives none."""
    in_name = _DATE_IN_NAME.search(path.name)
    guesses: dict[str, Any] = {"published": in_name[1] if in_name else None, "title": _title_of(path)}
    if path.suffix.lower() in HTML:
        return Found(url, "folder", "article", raw, "html", {"url": url}, guesses)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    hints: dict[str, Any] = {}
    if path.suffix.lower() in MARKDOWN:
        try:
            hints, text = split_front_matter(text)
        except ValueError as error:
            return Failure(url, "invalid-front-matter", str(error))
        if hints.pop("draft", False) is True:
            return Failure(url, "draft", "marked as a draft")
        heading = _FIRST_HEADING.match(text)
        if heading and (not hints.get("title") or hints["title"].strip() == heading[1].strip()):
            hints["title"] = heading[1]
            text = text[heading.end() :]
    media: Media = "markdown" if path.suffix.lower() in MARKDOWN else "text"
    return Found(hints.get("url") or url, "folder", "article", raw, media, hints, guesses, text.replace("\r\n", "\n"))


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """(Document fields of a YAML or TOML front matter, the rest). Raises ValueError for one that does not parse."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    try:
        content = yaml.safe_load(match[2]) if match[1] == "---" else tomllib.loads(match[2])
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        return {}, text  # a ruled-off beginning, not front matter
    lower = {str(key).lower(): value for key, value in content.items()}
    tags = lower.get("tags") or lower.get("categories") or lower.get("keywords") or []
    tags = re.split(r"[,\s]+", tags) if isinstance(tags, str) else tags
    hints: dict[str, Any] = {
        "title": str(lower["title"]) if lower.get("title") else None,
        "subtitle": str(lower.get("subtitle") or lower.get("description") or lower.get("summary") or "") or None,
        "published": next(
            (lower[k] for k in ("date", "published", "published_at", "pubdate") if _is_date(lower.get(k))), None
        ),
        "updated": next(
            (lower[k] for k in ("updated", "lastmod", "modified", "last_modified_at") if lower.get(k)), None
        ),
        "language": str(lower.get("lang") or lower.get("language") or "")[:2].lower() or None,
        "tags": [str(tag) for tag in tags if tag] if isinstance(tags, list) else [],
    }
    link = str(lower.get("canonical_url") or lower.get("canonical") or lower.get("original_url") or "")
    if is_url(link):
        hints["url"] = canonicalize_url(link)
    if lower.get("draft") is True or lower.get("published") is False:
        hints["draft"] = True
    return {key: value for key, value in hints.items() if value}, text[match.end() :].lstrip("\n")


def _is_date(value: Any) -> bool:
    return value is not None and not isinstance(value, bool) and value != ""


def _title_of(path: Path) -> str:
    stem = _DATE_IN_NAME.sub("", path.stem).strip("-_ ")
    return re.sub(r"[-_]+", " ", stem).strip().capitalize()
