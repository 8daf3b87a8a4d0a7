"""A reply's text as the object that was asked for."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Reply = TypeVar("Reply", bound=BaseModel)
REFUSAL = re.compile(
    r"\b(?:i|we)(?:'m| am|'re| are)? (?:sorry|afraid|unable|not able|cannot|can't|can not|won't|will not|must decline)"
    r"|\bas an ai\b|\bagainst my (?:guidelines|policy)|\bdecline to\b",
    re.IGNORECASE,
)
REFUSAL_WITHIN = 300  # characters: models say so at once


class ReplyProblem(ValueError):
    """A reply that is not what was asked for; `kind` is counted, the message goes into the repair request."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def parse_reply(text: str, reply_type: type[Reply]) -> Reply:
    """Read a reply as `reply_type`. Raises ReplyProblem: empty, refused, broken JSON or wrong fields.

    Models wrap JSON in fences and in talk; the first JSON object in the text counts.
    """
    if not text.strip():
        raise ReplyProblem("empty", "the reply was empty")
    found = _first_object(text)
    if found is None and REFUSAL.search(text[:REFUSAL_WITHIN].replace("\u2019", "'")):
        raise ReplyProblem("refused", "the reply declined in words and held no JSON object")
    if found is None:
        raise ReplyProblem("broken JSON", "there was no complete JSON object in the reply")
    try:
        return reply_type.model_validate(found)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in entry['loc']) or 'the object'}: {entry['msg']}"
            for entry in error.errors()[:5]
        )
        raise ReplyProblem("wrong fields", problems) from error


def _first_object(text: str) -> Any:
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            return decoder.raw_decode(text, start)[0]
        except json.JSONDecodeError:
            start = text.find("{", start + 1)
    return None


def strict_schema(reply_type: type[BaseModel]) -> dict[str, Any]:
    """The response_format that asks an OpenAI-compatible server for JSON of this type."""
    schema = reply_type.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": reply_type.__name__, "schema": schema}}
