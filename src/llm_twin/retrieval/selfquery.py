"""Filters that a question names: platform, kind, dates, topics. By rules, or by a language model; it never writes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from llm_twin.documents import Kind, Platform
from llm_twin.llm.client import LlmClient
from llm_twin.prompts import render_prompt
from llm_twin.retrieval.asking import ask_one

_PLATFORM = re.compile(
    r"\b(?:on|from|in|via)\s+(?:my |your |his |her |their |the )?(medium|substack|linkedin|github|newsletter|blog)\b",
    re.IGNORECASE,
)
_NAMES: dict[str, list[str]] = {"newsletter": ["substack"], "blog": ["site"]}
_KIND = re.compile(
    r"\b(?:in|among|from|of)\s+(?:my|your|his|her|their|the)\s+"
    r"(?:linkedin |medium |substack |github |blog |newsletter )?(articles?|essays?|posts?|repos?|repositor(?:y|ies))\b",
    re.IGNORECASE,
)
_POSTS_ON = re.compile(r"\b(linkedin|medium|substack|github|newsletter) (?:posts?|articles?|essays?|repos)\b", re.I)
_YEAR = re.compile(
    r"\b(?:written|wrote|published|posted|articles?|posts?|essays?)\b[^.?!]*?\b(?:in|from|during) (\d{4})\b"
)
_AFTER = re.compile(r"\b(?:since|after) (\d{4})\b", re.IGNORECASE)
_BEFORE = re.compile(r"\b(?:before|until|prior to) (\d{4})\b", re.IGNORECASE)
_YEARS = range(1990, 2100)
MAX_TOPICS = 5
_TAGGED = re.compile(r"\b(?:tagged|under the topic|on the topic of) [\"“']([^\"”']{2,60})[\"”']", re.IGNORECASE)


class Filtered(BaseModel):
    """What the model replies; None where the question does not say."""

    model_config = ConfigDict(extra="forbid")  # a reply of other fields says nothing: the rules are better

    platform: Literal["medium", "substack", "linkedin", "github", "site"] | None = None
    kind: Literal["article", "post", "repository"] | None = None
    published_after: str | None = None  # ISO 8601 date, inclusive
    published_before: str | None = None  # exclusive
    topics: list[str] = []


def read_filters(query: str) -> dict[str, Any]:
    """Filters that the question names in so many words; nothing is guessed."""
    filters: dict[str, Any] = {}
    platforms = [match.casefold() for match in _PLATFORM.findall(query) + _POSTS_ON.findall(query)]
    if platforms:
        filters["platform"] = sorted({name for one in platforms for name in _NAMES.get(one, [one])})
    kinds = {_kind(match.casefold()) for match in _KIND.findall(query)}
    if len(kinds) == 1 and kinds <= set(get_args(Kind)) and "platform" not in filters:
        filters["kind"] = sorted(kinds)
    if topics := sorted({topic.strip().lower() for topic in _TAGGED.findall(query)})[:MAX_TOPICS]:
        filters["topics"] = topics
    year = _year(_YEAR.search(query))
    if year:
        filters |= {"published_after": _begin(year), "published_before": _begin(year + 1)}
    else:
        after, before = _year(_AFTER.search(query)), _year(_BEFORE.search(query))
        if after:
            filters["published_after"] = _begin(after)
        if before:
            filters["published_before"] = _begin(before)
    return filters


def ask_filters(query: str, llm: LlmClient) -> dict[str, Any]:
    """Filters from a language model with a JSON schema; the rules where its reply cannot be used."""
    reply = ask_one(llm, render_prompt("query_filters", question=query), Filtered)
    if reply is None:
        return read_filters(query)
    filters: dict[str, Any] = {}
    if reply.platform in get_args(Platform):
        filters["platform"] = [reply.platform]
    if reply.kind:
        filters["kind"] = [reply.kind]
    if topics := sorted({topic.strip().lower() for topic in reply.topics if topic.strip()})[:MAX_TOPICS]:
        filters["topics"] = topics
    for name in ("published_after", "published_before"):
        try:
            filters[name] = datetime.fromisoformat(getattr(reply, name) or "").replace(tzinfo=UTC)
        except ValueError:
            continue  # not said, or not a date
    return filters


def _kind(word: str) -> str:
    if word.startswith("repo"):
        return "repository"
    return "article" if word.startswith(("article", "essay")) else "post"


def _year(match: re.Match[str] | None) -> int | None:
    year = int(match[1]) if match else 0
    return year if year in _YEARS else None


def _begin(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)
