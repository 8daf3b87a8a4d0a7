"""Who wrote a page: people named for machines first, then the byline; no dates, roles or site names among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from lxml.html import HtmlElement

from llm_twin.collection.records import clean_line

META_NAMES = ("author", "article:author", "dc.creator", "dcterms.creator", "byl", "parsely-author", "sailthru.author")
MAX_LETTERS = 100  # of a byline; longer ones are sentences
MAX_WORDS = 6  # of one name

_MARK = re.compile(r"author|byline|by-line|autor|writer|verfasser", re.IGNORECASE)
_NOT_A_BYLINE = re.compile(r"comment|disqus|reply|avatar|image|photo|\bbio\b|-bio|about|related|quote", re.IGNORECASE)
_LEAD = re.compile(
    r"^\W*(?:(?:(?:view|show|see) all (?:posts|articles) by|zeige alle beiträge von|(?:posted|written|published|story|"
    r"text|words|article|report(?:ed)?) by|veröffentlicht von|geschrieben von|beitrag von|posté par|écrit par|"
    r"escrito por|publicado por|by|von|vom|par|por|di|door|av|af)(?:\s*:\s*|\s+)|"
    r"(?:by|authors?|autor(?:in|en)?|auteur|text und|text|interview|bericht)\b\s*[:：]?\s*)",
    re.IGNORECASE,
)
# What follows a name in a byline: a date, a time, a place to write to, a second column.
_TAIL = re.compile(
    r"\s*(?:[|•·»→(\[]|\s[-–—]\s|\b(?:am|on|at|le|el|vor|um|updated|published|posted|stand)\b[:\s]+\w*\d|"
    r",?\s*\b\d{1,4}[./:-]\d|,?\s*(?<!\d)\d{1,2}\.?\s+[^\W\d]{3,}|,?\s*\b[^\W\d]{3,9}\.?\s+\d{1,2},?\s+\d{4}|\d{4}|\s@|\d+\s*[hmd]\b).*$",
    re.IGNORECASE | re.DOTALL,
)
_BYLINE_TAGS = ("a", "span", "p", "div", "address", "b", "strong", "li", "cite", "em", "h4", "small", "td")
_ELSEWHERE = re.compile(
    r"(?:^|\s)(?:comments?(?:-?(?:list|area|body|content))?|respond|disqus\S*|related\S*|sidebar|widgets?)(?:\s|$)",
    re.IGNORECASE,
)
_GENERIC = frozenset({"last updated", "follow author"}) | frozenset(
    "admin administrator administrador guest anonymous author authors autor follow name staff editor unknown none null "
    "fail posted written by von vom par por date datum follow share".split()
)


def read_author(root: HtmlElement, metas: dict[str, str], linked: dict[str, Any], sites: Sequence[str]) -> str:
    """Names joined by commas, or ""; one of `sites` (the site's names) only if nobody else is named."""
    people, houses = _linked_names(linked)
    named = [clean_byline(metas.get(name, "")) for name in META_NAMES]
    fallback = ""
    for candidate in (", ".join(people), *named, *_bylines(root), ", ".join(houses)):
        if not candidate:
            continue
        if not _is_site(candidate, sites) and candidate.casefold() not in _GENERIC:
            return candidate
        fallback = fallback or candidate
    return fallback


def clean_byline(text: str | None) -> str:
    """The names of a byline; "" if it holds none."""
    line = clean_line(text)
    if len(line) > MAX_LETTERS:
        return ""
    # "12 May · by A. Moss · in Tides": the part that says so.
    pieces = re.split(r"\s+[·|•]\s+", line)
    line = next((piece for piece in pieces if _LEAD.match(piece)), line)
    for _ in range(2):  # "Author: by …"
        line = _LEAD.sub("", line, count=1)
    line = _TAIL.sub("", line).strip(" -–—,;:|•·/@")
    names = [name for name in re.split(r"\s*[,;]\s*|\s+(?:and|und|et|y|e|&)\s+", line) if name]
    if "://" in line or not names or len(names[0].split()) > MAX_WORDS or not any(letter.isalpha() for letter in line):
        return ""
    return line


def _linked_names(linked: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(people, organisations) of JSON-LD's author."""
    authors = linked.get("author")
    people: list[str] = []
    houses: list[str] = []
    for author in authors if isinstance(authors, list) else [authors]:
        name = author.get("name") if isinstance(author, dict) else author
        for one in name if isinstance(name, list) else [name]:
            cleaned = clean_byline(one) if isinstance(one, str) else ""
            is_house = isinstance(author, dict) and "rganization" in str(author.get("@type"))
            if cleaned and cleaned not in people:
                (houses if is_house else people).append(cleaned)
    return people, houses


def _bylines(root: HtmlElement) -> Iterator[str]:
    """Names in elements marked as the author's, the surest marks first."""
    marked: list[tuple[int, str]] = []
    for element in root.iter(
        "a", "span", "p", "div", "address", "b", "strong", "li", "cite", "em", "h4", "small", "td"
    ):
        rank = _rank(element)
        if rank is None or _is_elsewhere(element):
            continue
        inner = element.xpath(".//*[@itemprop='name' or @rel='author' or contains(@class, 'author-name')]")
        name = clean_byline((inner[0] if inner else element).text_content())
        if len(name) > 2 and name.casefold() not in _GENERIC:
            marked.append((rank, name))
        if len(marked) > 20:
            break
    return (name for _, name in sorted(marked, key=lambda pair: pair[0]))


def _rank(element: HtmlElement) -> int | None:
    """How sure a mark is: 0 for rel and itemprop, 1 for a class or id that says so; None without one."""
    if "author" in (element.get("rel") or "").lower().split() or "author" in (element.get("itemprop") or "").lower():
        return 0
    names = _names(element)
    return 1 if _MARK.search(names) and not _NOT_A_BYLINE.search(names) else None


def _is_elsewhere(element: HtmlElement) -> bool:
    """Whether it stands among comments, in the page's footer, or beside the article."""
    above = [e for e in element.iterancestors() if e.tag not in ("body", "html")]
    if any(_ELSEWHERE.search(_names(e)) for e in above):
        return True
    tags = [e.tag for e in above]
    return "aside" in tags or "nav" in tags or ("footer" in tags and "article" not in tags)


def _names(element: HtmlElement) -> str:
    return f"{element.get('class') or ''} {element.get('id') or ''}"


def _is_site(name: str, sites: Sequence[str]) -> bool:
    letters = _letters(name)
    return any(letters == _letters(site) for site in sites if site)


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text.casefold())
