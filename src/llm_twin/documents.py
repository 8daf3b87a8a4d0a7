"""The records that cross a step, and their JSON-lines files.

Identity: a document is (author, canonical URL); a revision is the hash of its raw content; a chunk's id derives
from document, revision, chunker settings and position. So whatever is written twice is written once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_twin.errors import InputError

Platform = Literal["medium", "substack", "linkedin", "github", "site", "folder", "handbook"]
Kind = Literal["article", "post", "repository"]
Split = Literal["train", "validation", "test"]


def stable_id(*parts: str, length: int = 32) -> str:
    """A hexadecimal id of `length` characters that depends only on `parts` and their order (SHA-256)."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:length]


class Record(BaseModel):
    """Base of all records: unknown fields are refused, so a typo cannot pass for data."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Author(Record):
    """A person whose writing is collected; `id` is a slug such as `odalys-fenwick`."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)
    email: str | None = None
    links: list[str] = []


class Document(Record):
    """One revision of one piece of writing, as collected: `text` is Markdown with the author's own punctuation."""

    document_id: str  # stable_id(author, url)
    revision_id: str  # stable_id of the raw content
    author: str  # Author.id
    platform: Platform
    kind: Kind
    url: str  # canonical
    title: str = ""
    subtitle: str = ""
    published: datetime | None = None
    updated: datetime | None = None
    language: str | None = None  # ISO 639-1
    tags: list[str] = []
    text: str
    metadata: dict[str, Any] = {}  # platform-specific, JSON only


class CleanDocument(Record):
    """A document ready for use: `text` is the style view (as written), `retrieval_text` the masked, normalised one.

    Chunk spans index into `retrieval_text`; masking keeps what it does not mask.
    """

    document_id: str
    revision_id: str
    author: str
    platform: Platform
    kind: Kind
    url: str
    title: str = ""
    published: datetime | None = None
    language: str | None = None
    tags: list[str] = []
    text: str
    retrieval_text: str
    metadata: dict[str, Any] = {}


class Chunk(Record):
    """A passage of a document: `text == retrieval_text[start:end]` of the CleanDocument."""

    chunk_id: str  # a UUID string: Qdrant's point ids must be UUIDs
    document_id: str
    revision_id: str
    author: str
    platform: Platform
    kind: Kind
    url: str
    title: str = ""
    published: datetime | None = None
    language: str | None = None
    tags: list[str] = []
    headings: list[str] = []  # path of headings above the chunk
    position: int  # 0-based within the document
    start: int  # character offset, inclusive
    end: int  # character offset, exclusive
    text: str
    metadata: dict[str, Any] = {}


class InstructionSample(Record):
    """One supervised sample: `output` is the author's own passage, unchanged."""

    sample_id: str
    document_id: str
    revision_id: str
    author: str
    url: str
    split: Split
    kind: str  # article, post, continuation, code …
    instruction: str
    output: str
    instruction_source: str  # heading, question, key-phrase, template, llm


class PreferenceSample(Record):
    """One preference pair: `chosen` is the author's text (or, labelled so, a person's), `rejected` what is not."""

    sample_id: str
    document_id: str
    revision_id: str
    author: str
    url: str
    split: Split
    instruction: str
    chosen: str
    rejected: str
    rejected_source: str  # degraded, base, sft, llm, person …
    chosen_source: str = "author"  # or person, where people wrote responses
    reason: str
    confidence: float = Field(ge=0, le=1)


class Citation(Record):
    """Where a sentence of an answer is supported: the chunk, and its exact span in the document."""

    chunk_id: str
    document_id: str
    url: str
    title: str = ""
    start: int
    end: int
    quote: str
    score: float


class AnswerSentence(Record):
    """One sentence of an answer with the citations that support it (none: unsupported)."""

    text: str
    supported: bool
    citations: list[Citation] = []


class Answer(Record):
    """What the twin says: `generated` by the model, `extracted` from the author's sentences, or `refused`."""

    question: str
    author: str
    text: str
    status: Literal["generated", "extracted", "refused"]
    sentences: list[AnswerSentence] = []
    sources: list[Citation] = []
    model: str = ""
    trace_id: str = ""
    seconds: dict[str, float] = {}  # time of each hop


RecordType = TypeVar("RecordType", bound=BaseModel)


def write_jsonl(path: str | Path, records: Iterable[BaseModel]) -> int:
    """Write records, one JSON object a line, beside `path` and then in its place. Returns how many."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    count = 0
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(record.model_dump_json() + "\n")
                count += 1
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return count


def read_jsonl(path: str | Path, record_type: type[RecordType]) -> Iterator[RecordType]:
    """Read records one by one. Raises InputError that names file, line and field of a line that does not fit."""
    source = Path(path)
    if not source.is_file():
        raise InputError(f"no such file: {source}", "give the path of a JSON-lines file")
    with source.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield record_type.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"]) or "the line"
                raise InputError(
                    f"{source}, line {number}: {field}: {first['msg']}",
                    f"each line must be a {record_type.__name__} object",
                ) from error
