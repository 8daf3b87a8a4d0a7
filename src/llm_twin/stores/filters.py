"""Filters of a search: which fields may be filtered, and how."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from qdrant_client import models

from llm_twin.errors import InputError

# name → payload field and how it matches
KEYWORDS = {
    "platform": "platform",
    "kind": "kind",
    "language": "language",
    "tags": "tags",
    "topics": "metadata.topics",
    "entities": "metadata.entities",
    "document_id": "document_id",
}
DATES = {"published_after": "gte", "published_before": "lt"}
FIELDS = (*KEYWORDS, *DATES)

# field → a value, or a list of which one must match; dates as datetime or ISO 8601
Filters = Mapping[str, Any]


def build_filter(filters: Filters | None, hidden: Sequence[str] = ()) -> models.Filter | None:
    """Qdrant's filter; chunks with the ids `hidden` are passed over.

    Raises InputError that names an unknown field or a value that does not fit.
    """
    if not filters and not hidden:
        return None
    must: list[Any] = []
    bounds: dict[str, datetime] = {}
    for name, value in (filters or {}).items():
        if name in KEYWORDS:
            values = value if isinstance(value, list | tuple | set) else [value]
            if not values or not all(isinstance(one, str) and one for one in values):
                raise InputError(f"filter {name}: {value!r} is not a text or a list of texts", "give e.g. 'article'")
            must.append(models.FieldCondition(key=KEYWORDS[name], match=models.MatchAny(any=sorted(values))))
        elif name in DATES:
            bounds[DATES[name]] = _date(name, value)
        else:
            close = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known fields: {', '.join(FIELDS)}"
            raise InputError(f"unknown filter field {name!r}", hint)
    if bounds:
        must.append(models.FieldCondition(key="published", range=models.DatetimeRange(**bounds)))
    return models.Filter(must=must, must_not=[models.HasIdCondition(has_id=list(hidden))] if hidden else None)


def _date(name: str, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"filter {name}: {value!r} is not a date", "write it as 2024-05-31") from error
