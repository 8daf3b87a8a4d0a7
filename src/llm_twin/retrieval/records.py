"""What retrieval hands on: hits, and the trace of the steps that found them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llm_twin.documents import Chunk


@dataclass
class Hit:
    """A chunk that was found.

    `score` orders the hits of one search. `dense_score` is the cosine with the question itself, `sparse_score` the
    BM25 score where term matching found it. `kept` are the spans of the document that compression left (None: all).
    """

    chunk: Chunk
    score: float
    dense_score: float | None = None
    sparse_score: float | None = None
    kept: list[tuple[int, int]] | None = None
    vector: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The chunk's text, as compression left it."""
        if self.kept is None:
            return self.chunk.text
        offset = self.chunk.start
        return " … ".join(self.chunk.text[start - offset : end - offset] for start, end in self.kept)


@dataclass
class TraceStep:
    """One step of a search: its time, and what it did."""

    name: str
    milliseconds: float
    effect: dict[str, Any] = field(default_factory=dict)


@dataclass
class SearchResult:
    """Hits, best first, and how they were found."""

    query: str
    author: str
    hits: list[Hit]
    trace: list[TraceStep]
    filters: dict[str, Any] = field(default_factory=dict)


class Tracer:
    """Collects the steps of one search."""

    def __init__(self) -> None:
        self.steps: list[TraceStep] = []

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a step; what is put in the dictionary is its effect."""
        effect: dict[str, Any] = {}
        begun = time.perf_counter()
        yield effect
        self.steps.append(TraceStep(name, round((time.perf_counter() - begun) * 1000, 2), effect))
