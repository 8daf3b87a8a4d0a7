"""What a page says of itself: title, subtitle, author, dates, canonical address, language, tags."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from lxml.etree import LxmlError
from lxml.html import HtmlElement

from llm_twin.collection.extraction.bylines import read_author
from llm_twin.collection.records import canonicalize_url, clean_line, parse_when

_ARTICLE_TYPES = re.compile(r"article|posting|report|blog", re.IGNORECASE)
_NAME_SPLIT = re.compile(r"\s+[|·•–—»:-]\s+")


EXTENSIVE = False


@dataclass
class Metadata:
    """Empty where the page says nothing. Dates are ISO 8601."""

    url: str = ""
    title: str = ""
    subtitle: str = ""
    author: str = ""
    site: str = ""
    published: str = ""
    updated: str = ""
    language: str = ""
    tags: list[str] = field(default_factory=list)


def read_metadata(root: HtmlElement, url: str) -> Metadata:
    """Read JSON-LD, then meta tags, then the page's own elements; the first that speaks counts."""
    metas = _metas(root)
    linked = next(_linked_articles(root), {})
    site = metas.get("og:site_name") or metas.get("application-name") or ""
    return Metadata(
        url=_canonical(root, metas, url),
        title=_title(root, metas, linked, site),
        subtitle=clean_line(
            _text(linked.get("description")) or metas.get("og:description") or metas.get("description")
        ),
        author=read_author(
            root, metas, linked, (clean_line(site), (urlsplit(url).hostname or "").removeprefix("www."))
        ),
        site=clean_line(site),
        published=_first_date(linked.get("datePublished"), *(metas.get(k) for k in _PUBLISHED), *_times(root))
        or _guess_date(root, url),
        updated=_first_date(linked.get("dateModified"), *(metas.get(k) for k in _UPDATED)),
        language=_language(root, metas),
        tags=_tags(root, metas, linked),
    )


def read_told_text(root: HtmlElement) -> str:
    """The article's text as JSON-LD repeats it for machines, or ""; sometimes only its beginning."""
    told = max((_text(linked.get("articleBody")) for linked in _linked_articles(root)), key=len, default="")
    return re.sub(r"<[^>]{1,500}>", "\n", html.unescape(told))


_TITLES = ("og:title", "twitter:title", "dc.title", "dcterms.title", "parsely-title", "citation_title")
_PUBLISHED = (
    "article:published_time", "datepublished", "date", "pubdate", "dc.date", "dc.date.issued", "dcterms.created",
    "parsely-pub-date", "sailthru.date", "publish_date", "publish-date", "citation_publication_date",
    "og:published_time",
    "article.published", "article_date_original", "originalpublicationdate", "created",
)  # fmt: skip
_UPDATED = ("article:modified_time", "datemodified", "og:updated_time", "last-modified", "dcterms.modified", "revised")


def _metas(root: HtmlElement) -> dict[str, str]:
    found: dict[str, str] = {}
    for meta in root.iter("meta"):
        names = (meta.get("property") or meta.get("name") or meta.get("itemprop") or "").lower().split()
        content = (meta.get("content") or "").strip()
        for name in names if content else ():
            found.setdefault(name, content)
    return found


def _linked_articles(root: HtmlElement) -> Iterator[dict[str, Any]]:
    """Articles described by JSON-LD, wherever they are nested."""
    for script in root.iter("script"):
        if "ld+json" not in (script.get("type") or ""):
            continue
        try:
            content = json.loads(script.text or "", strict=False)
        except (ValueError, RecursionError):
            continue
        queue = [content]
        for item in queue:
            if len(queue) > 500:
                break
            if isinstance(item, list):
                queue.extend(item)
            elif isinstance(item, dict):
                kinds = item.get("@type")
                if any(_ARTICLE_TYPES.search(str(k)) for k in (kinds if isinstance(kinds, list) else [kinds])):
                    yield item
                queue.extend(v for k, v in item.items() if k in ("@graph", "mainEntity", "mainEntityOfPage"))


def _title(root: HtmlElement, metas: dict[str, str], linked: dict[str, Any], site: str) -> str:
    """The headline: what the page calls itself, checked against the heading that says the same."""
    named = clean_line(_text(linked.get("headline")) or next((metas[k] for k in _TITLES if metas.get(k)), ""))
    document = clean_line(next((t.text_content() for t in root.iter("title")), ""))
    if named.casefold() == clean_line(site).casefold():
        named = ""
    headings = [(clean_line(h.text_content()), h) for h in root.iter("h1", "h2")]
    headings = [(text, h) for text, h in headings if 2 < len(text) < 300]
    site = site or next((text for text, h in headings if _is_banner(h, text, "")), "")
    for candidate in (named, document):
        # The site's own name is often a heading too, and a part of the title: the article's is another, longer one.
        said = [text for text, h in headings if _repeats(text, candidate) and not _is_banner(h, text, site)]
        if said:
            return max(said, key=len)
    first = [text for text, h in headings if h.tag == "h1"]
    return _without_site(named or document or (first[0] if len(first) == 1 else ""), site)


def _repeats(heading: str, candidate: str) -> bool:
    """Whether a heading is the candidate, or its beginning or end and most of it."""
    said, whole = heading.casefold(), candidate.casefold()
    return (whole.startswith(said) or whole.endswith(said)) and len(said) * 3 > len(whole)


def _is_banner(heading: HtmlElement, text: str, site: str) -> bool:
    """Whether a heading names the site: by its text, or as the link to the front page."""
    links = [a.get("href") or "" for a in (*heading.iter("a"), *heading.iterancestors("a"))]
    return text.casefold() == clean_line(site).casefold() or any(urlsplit(h).path in ("", "/") and h for h in links)


def _without_site(title: str, site: str) -> str:
    """A document's title without the site's name at its end or beginning."""
    pieces = _NAME_SPLIT.split(title)
    if len(pieces) < 2:
        return title
    if site:
        kept = [p for p in pieces if p.casefold() != clean_line(site).casefold()]
        return (
            title
            if len(kept) == len(pieces) or not kept
            else title[title.find(kept[0]) :][: title.rfind(kept[-1]) + len(kept[-1]) - title.find(kept[0])]
        )
    last = pieces[-1]
    if len(last.split()) <= 4 and len(title) - len(last) > len(last) * 1.5:
        return title[: title.rfind(last)].rstrip(" |·•–—»:-")
    return title


def _times(root: HtmlElement) -> list[str]:
    """Dates of <time> elements, the marked ones first."""
    times = [t for t in root.iter("time") if t.get("datetime")]
    marked = [
        t
        for t in times
        if t.get("pubdate") is not None or "publish" in (t.get("itemprop") or t.get("class") or "").lower()
    ]
    return [t.get("datetime", "") for t in [*marked, *times][:3]]


def _first_date(*candidates: Any) -> str:
    for candidate in candidates:
        moment = parse_when(_text(candidate))
        if moment is not None:
            return moment.isoformat().replace("+00:00", "Z")
    return ""


def _guess_date(root: HtmlElement, url: str) -> str:
    """A day found elsewhere in the markup, the address or the text (htmldate, Barbaresi 2020, JOSS), or ""."""
    from htmldate import find_date

    try:
        found = find_date(copy.deepcopy(root), url=url, original_date=True, extensive_search=EXTENSIVE)
    except (ValueError, TypeError, AttributeError, LxmlError):
        return ""
    return _first_date(found)


def _canonical(root: HtmlElement, metas: dict[str, str], url: str) -> str:
    """The address that the page gives itself, unless it is its site's front page."""
    named = [link.get("href", "") for link in root.iter("link") if (link.get("rel") or "").lower() == "canonical"]
    for candidate in (*named, metas.get("og:url", "")):
        address = urljoin(url, candidate.strip()) if candidate.strip() else ""
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        front = parts.path in ("", "/") and not parts.query
        if parts.scheme in ("http", "https") and parts.hostname and not (front and urlsplit(url).path not in ("", "/")):
            return canonicalize_url(address)
    return canonicalize_url(url) if "://" in url else url


def _language(root: HtmlElement, metas: dict[str, str]) -> str:
    claimed = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or metas.get("og:locale") or ""
    code = claimed.strip().lower()[:2]
    return code if code.isalpha() and len(code) == 2 else ""


def _tags(root: HtmlElement, metas: dict[str, str], linked: dict[str, Any]) -> list[str]:
    named = [m.get("content") or "" for m in root.iter("meta") if (m.get("property") or "").lower() == "article:tag"]
    keywords = linked.get("keywords") or metas.get("keywords") or metas.get("news_keywords") or ""
    listed = keywords if isinstance(keywords, list) else re.split(r"[,;]", str(keywords))
    marked = [a.text_content() for a in root.iter("a") if "tag" in (a.get("rel") or "").lower().split()]
    found = {clean_line(str(tag)).strip("#") for tag in [*named, *listed, *marked][:100]}
    return sorted(tag for tag in found if 0 < len(tag) <= 60)


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else ""
