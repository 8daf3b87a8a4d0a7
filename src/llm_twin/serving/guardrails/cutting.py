"""Texts in the pieces that are judged: a question whole, or in runs of sentences; a document sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from llm_twin.serving.guardrails.examples import Example
from llm_twin.support import split_sentences

Span = tuple[int, int]
WHOLE = 700  # characters up to which a question is judged as one piece
PIECE = 600  # of a longer one
MAX_PIECES = 24
# Where markup sets things apart: around comments; before lines of code, tables, quotes, keys; after tags.
_APART = re.compile(
    r"(?=<!--)|(?<=-->)|\n(?=\s*(?:[#|>*/{}\[<`:]|//|--|[\w-]{2,24}:\s))|(?<=[|>}`])\n|</(?:p|h\d|li|td|div|span)>"
)


def cut_question(text: str) -> list[Span]:
    """A short question whole; a long one in runs of sentences."""
    if len(text) <= WHOLE:
        return [(0, len(text))]
    pieces: list[Span] = []
    for start, end in ((s.start, s.end) for s in split_sentences(text)):
        for at in range(start, end, PIECE):
            stop = min(end, at + PIECE)
            if pieces and stop - pieces[-1][0] <= PIECE:
                pieces[-1] = (pieces[-1][0], stop)
            else:
                pieces.append((at, stop))
    pieces = pieces or [(0, PIECE)]
    # An order to the model stands at either end more often than in between.
    half = MAX_PIECES // 2
    return pieces if len(pieces) <= MAX_PIECES else [*pieces[:half], *pieces[-half:]]


def cut_document(text: str) -> list[Span]:
    """Each sentence; what markup sets apart (a comment, a line of code, of a table or of front matter) by itself."""
    pieces = [
        (start + a, start + b)
        for start, end in ((s.start, s.end) for s in split_sentences(text))
        for a, b in _cut_at(_APART, text[start:end])
    ]
    return pieces or [(0, len(text))]


@dataclass(frozen=True)
class Piece:
    """A piece of a known text (number `owner`) to learn from: 1 if it is an attack or an order, else 0."""

    text: str
    owner: int
    label: int
    document: bool
    pair: bool = False  # two neighbouring pieces of a document
    pattern: bool = False  # made from a pattern


def cut_examples(examples: Sequence[Example]) -> list[Piece]:
    """All pieces of the examples, a document's with its pairs of neighbours."""
    pieces: list[Piece] = []
    for owner, example in enumerate(examples):
        pattern = example.writer == "pattern"
        if example.place == "input":
            pieces.append(Piece(example.text, owner, int(example.attack), False, False, pattern))
            continue
        spans = cut_document(example.text)
        labels = label_spans(example, spans)
        for (start, end), label in zip(spans, labels, strict=True):
            pieces.append(Piece(example.text[start:end], owner, label, True, False, pattern))
        for (one, a), (other, b) in pairwise(zip(spans, labels, strict=True)):
            pieces.append(Piece(example.text[one[0] : other[1]], owner, max(a, b), True, True, pattern))
    return pieces


def label_spans(example: Example, spans: Sequence[Span]) -> list[int]:
    """1 for each span that is part of the document's order: two fifths of it, or 25 characters."""
    orders = [(at, at + len(order)) for order in example.order if (at := example.text.find(order)) >= 0]
    shared = [sum(max(0, min(end, b) - max(start, a)) for a, b in orders) for start, end in spans]
    labels = [int(n >= 25 or n >= 0.4 * (end - start)) for n, (start, end) in zip(shared, spans, strict=True)]
    return labels if any(labels) else [int(n > 0) for n in shared]


def _cut_at(pattern: re.Pattern[str], text: str) -> list[Span]:
    """The parts of a text between matches, each without white space around it, none without a letter or digit."""
    cuts = [0, *(match.end() for match in pattern.finditer(text)), len(text)]
    parts = []
    for start, end in pairwise(cuts):
        piece = text[start:end]
        start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
        if any(character.isalnum() for character in text[start:end]):
            parts.append((start, end))
    return parts
