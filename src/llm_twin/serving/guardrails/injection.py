"""Is a text an attempt to give the model other orders? A classifier over manner, wording and rules.

Logistic regression (`features.py` says of what) learned from attacks and harmless look-alikes that were written for
this project (`examples.py`). Its weights are shipped, so judging costs half an encoding and some matching. A text is
judged in pieces, and by what it hides (`normalise.py`); the worst piece decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Literal

import numpy as np

from llm_twin.serving.guardrails.features import Reads, build_rows, find_rules
from llm_twin.serving.guardrails.normalise import readings
from llm_twin.serving.guardrails.rules import weigh_rules
from llm_twin.support import split_sentences

Place = Literal["input", "document"]
Piece = tuple[tuple[int, int], float, list[str]]  # a span, how far beyond the threshold, the rules that match
WHOLE = 700  # characters up to which a question is judged as one piece
PIECE = 600  # of a longer one
MAX_PIECES = 24
# Where markup sets things apart: around comments; before lines of code, tables, quotes, keys; after tags.
_APART = re.compile(
    r"(?=<!--)|(?<=-->)|\n(?=\s*(?:[#|>*/{}\[<`:]|//|--|[\w-]{2,24}:\s))|(?<=[|>}`])\n|</(?:p|h\d|li|td|div|span)>"
)
DOUBTFUL = -2.0  # distance from the threshold above which a sentence is looked at with its neighbours too
HIDDEN = 1.0  # what it adds that words were hidden and came to light by decoding


@dataclass(frozen=True)
class Suspicion:
    """Whether a text is an attack, by which rules, and how sure (0 to 1; above 0.5 is an attack); `spans` are its
    sentences."""

    attack: bool
    rules: tuple[str, ...] = ()
    nearness: float = 0.0
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Weights:
    """The learned regression."""

    weights: np.ndarray
    offset: float
    thresholds: dict[str, float]  # by place
    examples: str  # digest of the texts it was learned from


@cache
def read_weights() -> Weights:
    """The shipped weights."""
    with (resources.files("llm_twin.serving.guardrails") / "weights.npz").open("rb") as file:
        kept = np.load(file)
        return Weights(
            kept["weights"].astype(np.float32),
            float(kept["offset"]),
            {place: float(kept[f"{place}_threshold"]) for place in ("input", "document")},
            str(kept["examples"]),
        )


@dataclass
class InjectionDetector:
    """The classifier over the states that `layers` reads; without, the rules alone."""

    layers: Reads | None = None

    def judge(self, text: str, place: Place = "input") -> Suspicion:
        """Judge a question in pieces of some sentences, a document as `judge_documents` does."""
        if place == "document":
            return self.judge_documents([text])[0]
        pieces = cut_question(text)
        return _conclude(list(zip(pieces, *self._values([text[a:b] for a, b in pieces], place), strict=True)))

    def judge_documents(self, texts: Sequence[str]) -> list[Suspicion]:
        """Judge each text by its sentences, and by two neighbours where one of them is not quite harmless; the
        sentences of all texts go through the encoder together. For a pair that is an attack only together, the span
        is the worse of the two: the other is the author's."""
        pieces = [(owner, span) for owner, text in enumerate(texts) for span in cut_document(text)]
        judged = self._judge_pieces(texts, pieces)
        pairs = [
            (one[0], (one[1][0], other[1][1]))
            for one, other, a, b in zip(pieces, pieces[1:], judged, judged[1:], strict=False)
            if one[0] == other[0] and max(a[1], b[1]) > DOUBTFUL
        ]
        found: list[list[Piece]] = [[] for _ in texts]
        for (owner, _), piece in zip(pieces + pairs, judged + self._judge_pieces(texts, pairs), strict=True):
            found[owner].append(piece)
        return [_blame_one(_conclude(one), one) for one in found]

    def _judge_pieces(self, texts: Sequence[str], pieces: list[tuple[int, tuple[int, int]]]) -> list[Piece]:
        values, rules = self._values([texts[owner][a:b] for owner, (a, b) in pieces], "document")
        return [(span, value, names) for (_, span), value, names in zip(pieces, values, rules, strict=True)]

    def _values(self, pieces: Sequence[str], place: Place) -> tuple[list[float], list[list[str]]]:
        """For each piece how far it is beyond the threshold (negative: harmless), and the rules that matched."""
        if not pieces:
            return [], []
        if self.layers is None:
            rules = find_rules(pieces)
            return [weigh_rules(p, found) - 0.99 for p, found in zip(pieces, rules, strict=True)], rules
        known = read_weights()
        texts, owners = list(pieces), list(range(len(pieces)))
        for number, piece in enumerate(pieces):
            hidden = readings(piece)[1:]
            texts += hidden
            owners += [number] * len(hidden)
        rules = find_rules(texts)
        rows = build_rows(texts, [place == "document"] * len(texts), rules, self.layers)
        scores = np.asarray(rows @ known.weights).ravel() + known.offset - known.thresholds[place]
        values = [float(score) for score in scores[: len(pieces)]]
        for owner, score in zip(owners[len(pieces) :], scores[len(pieces) :], strict=True):
            values[owner] = max(values[owner], float(score) + HIDDEN)
        return values, rules[: len(pieces)]


def _blame_one(suspicion: Suspicion, pieces: list[Piece]) -> Suspicion:
    """The suspicion with each pair's span narrowed to its worse sentence."""
    spans: list[tuple[int, int]] = []
    for start, end in suspicion.spans:
        inside = [(v, s) for s, v, _ in pieces if start <= s[0] and s[1] <= end and s != (start, end)]
        worst = max(inside)[1] if inside else (start, end)
        if worst not in spans:
            spans.append(worst)
    return replace(suspicion, spans=tuple(spans))


def _conclude(pieces: list[Piece]) -> Suspicion:
    """The verdict on a text from those on its pieces, single sentences before pairs."""
    spans: list[tuple[int, int]] = []
    named: list[str] = []
    for span, value, found in pieces:
        if any(span[0] <= known[0] and known[1] <= span[1] for known in spans):
            continue  # two sentences are an attack only if neither was one alone
        if value > 0:
            spans.append(span)
            named += [name for name in found if name not in named]
    sure = 1 / (1 + float(np.exp(-max(value for _, value, _ in pieces))))
    return Suspicion(bool(spans), tuple(named), round(sure, 3), tuple(spans))


def cut_question(text: str) -> list[tuple[int, int]]:
    """A short question whole; a long one in runs of sentences."""
    if len(text) <= WHOLE:
        return [(0, len(text))]
    pieces: list[tuple[int, int]] = []
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


def cut_document(text: str) -> list[tuple[int, int]]:
    """Each sentence; what markup sets apart (a comment, a line of code, of a table or of front matter) by itself."""
    pieces = [
        (start + a, start + b)
        for start, end in ((s.start, s.end) for s in split_sentences(text))
        for a, b in _cut_at(_APART, text[start:end])
    ]
    return pieces or [(0, len(text))]


def _cut_at(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """The parts of a text between matches, each without white space around it, none without a letter or digit."""
    cuts = [0, *(match.end() for match in pattern.finditer(text)), len(text)]
    parts = []
    for start, end in pairwise(cuts):
        piece = text[start:end]
        start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
        if any(character.isalnum() for character in text[start:end]):
            parts.append((start, end))
    return parts
