"""What a source yields: things found, things unchanged, gone or failed; and how a found thing becomes a Document."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from llm_twin.documents import Author, Document, Kind, Platform, stable_id
from llm_twin.errors import SourceError

Media = Literal["html", "article-html", "markdown", "text"]

# Raised when the extraction changes what it makes of the same bytes: pages are then read anew, as new revisions.
EXTRACTION_VERSION = "3"

_TRACKING = re.compile(
    r"^(utm_\w+|fbclid|gclid|mc_cid|mc_eid|igshid|ref_src|source|r|s|sk|gi|showWelcomeOnShare|triedRedirect)$"
)
# Parameters of one letter track readers on the platforms that use them; elsewhere they may name the page.
_SHORT_TRACKERS = {"source", "r", "s", "sk", "gi", "showWelcomeOnShare", "triedRedirect"}
_TRACKING_HOSTS = ("medium.com", "substack.com")


@dataclass(frozen=True)
class Found:
    """One piece of writing as it came: its raw bytes, what they are, and what the source knows beside them.

    `media` html is a whole page that must be extracted; article-html is the article's own markup. `hints` holds
    Document fields the source is sure of (title, published, tags …); they win over what extraction finds, except
    those in `guesses`, which fill gaps only.
    """

    url: str
    platform: Platform
    kind: Kind
    raw: bytes
    media: Media
    hints: dict[str, Any] = field(default_factory=dict)
    guesses: dict[str, Any] = field(default_factory=dict)
    text: str | None = None  # the ready text, where it is not simply `raw` decoded
    charset: str | None = None
    state: dict[str, Any] | None = None  # for the next conditional request
    author: Author | None = None  # where one source holds several authors
    optional: bool = False  # not an article after all: leave it out, it is no failure


@dataclass(frozen=True)
class Unchanged:
    """The source says that this page is as it was."""

    url: str


@dataclass(frozen=True)
class Gone:
    """The source says that this page is no more."""

    url: str
    detail: str = ""


@dataclass(frozen=True)
class Failure:
    """One item that could not be collected; `reason` is a word for counting, `detail` for a person."""

    url: str
    reason: str
    detail: str


Event = Found | Unchanged | Gone | Failure


class ItemError(SourceError):
    """One item is not what it should be; `reason` is a word for counting."""

    def __init__(self, url: str, reason: str, detail: str) -> None:
        super().__init__(f"{url}: {reason}: {detail}", "see the quality report")
        self.failure = Failure(url, reason, detail)


def canonicalize_url(url: str) -> str:
    """One spelling for one page: lower-case scheme and host, no fragment, default port, or tracking parameter."""
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").rstrip(".")
    try:
        port = parts.port
    except ValueError:
        port = None
    default = {"http": 80, "https": 443}.get(parts.scheme.lower())
    netloc = host if port in (None, default) else f"{host}:{port}"
    on_platform = any(host == name or host.endswith("." + name) for name in _TRACKING_HOSTS)
    kept = [
        (key, value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _TRACKING.match(key) or (key in _SHORT_TRACKERS and not on_platform)
    ]
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._") or "/"
    return urlunsplit((parts.scheme.lower(), netloc, path, urlencode(kept), ""))


def document_id(author: str, url: str) -> str:
    """The id of the author's document at a canonical URL."""
    return stable_id(author, url)


def revision_id(raw_digest: str) -> str:
    """The id of a revision: its raw content, read by this version of the extraction."""
    return stable_id(raw_digest, EXTRACTION_VERSION)


def parse_when(value: Any) -> datetime | None:
    """A UTC time, to the second, of what feeds, exports and front matter write; None if it is none of them."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value / 1000 if value > 1e11 else value
        try:
            moment = datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, OSError, ValueError):
            return None
    elif isinstance(value, str) and value.strip():
        parsed = _parse_text_date(value.strip())
        if parsed is None:
            return None
        moment = parsed
    else:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        moment = moment.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        return None
    return moment if 1980 <= moment.year <= 2100 else None


_FORMATS = ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M UTC", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d", "%B %d, %Y", "%b %d, %Y",
            "%d %B %Y", "%d %b %Y", "%m/%d/%y, %I:%M %p", "%m/%d/%Y", "%m/%d/%y")  # fmt: skip


def _parse_text_date(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        pass
    for pattern in _FORMATS:
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    return None


def clean_line(text: str | None) -> str:
    """A title or tag on one line: entities resolved, spaces folded, no control characters."""
    plain = html.unescape(text or "")
    plain = "".join(" " if unicodedata.category(c) == "Cc" else c for c in plain)
    return " ".join(plain.split())


def slugify(name: str) -> str:
    """An Author.id from a person's name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-") or "author"


def make_document(author: str, found: Found, raw_digest: str, text: str, fields: dict[str, Any]) -> Document:
    """A typed record of a found thing; `fields` are what extraction found. Raises ItemError for an empty text."""
    if not text.strip():
        raise ItemError(found.url, "empty", "no text in it")
    merged = {
        **{k: v for k, v in found.guesses.items() if v},
        **{k: v for k, v in fields.items() if v},
        **{k: v for k, v in found.hints.items() if v},
    }
    url = canonicalize_url(merged.pop("url", None) or found.url)
    return Document(
        document_id=document_id(author, url),
        revision_id=revision_id(raw_digest),
        author=author,
        platform=found.platform,
        kind=found.kind,
        url=url,
        title=clean_line(merged.get("title"))[:500],
        subtitle=clean_line(merged.get("subtitle"))[:1000],
        published=parse_when(merged.get("published")),
        updated=parse_when(merged.get("updated")),
        language=merged.get("language"),
        tags=sorted({clean_line(tag) for tag in merged.get("tags", []) if clean_line(tag)})[:50],
        text=text.strip() + "\n",
        metadata=merged.get("metadata", {}),
    )
