"""What is kept of one request."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field

from llm_twin.documents import Record


class TracedHit(Record):
    """One retrieved chunk: where it is from and how it scored (not its text: the index has that)."""

    chunk_id: str
    url: str = ""
    title: str = ""
    score: float
    dense_score: float | None = None
    sparse_score: float | None = None


class Hop(Record):
    """One step of a request, such as `retrieve` or `generate`."""

    name: str
    start_seconds: float = Field(ge=0, description="since the request began")
    seconds: float = Field(ge=0)


class TraceRecord(Record):
    """One request, whole."""

    trace_id: str
    started: datetime  # with a time zone
    seconds: float = Field(ge=0)  # the whole request
    author: str
    query: str
    hits: list[TracedHit] = []
    answer: str = ""
    status: Literal["generated", "extracted", "refused", "failed"]
    supported_share: float | None = Field(default=None, ge=0, le=1)  # of the answer's sentences
    model: str = ""
    prompts: dict[str, str] = Field(default={}, description="each prompt's version: the registry's, or a digest")
    hops: list[Hop] = []
    error: str = ""


def new_trace_id() -> str:
    """A fresh id for a request: 32 hexadecimal characters, known before anything is written."""
    return uuid.uuid4().hex
