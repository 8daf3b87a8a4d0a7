"""Is a text an attempt to give the model other orders? A small tuned encoder, wording and rules.

The reader (`reader.py`) hears the manner, a logistic regression (`features.py`) knows the wording; both learned from
attacks and harmless look-alikes that were written for this project (`examples.py`), and their log odds are summed. What
they learned is shipped, so judging costs an encoding and some matching. A text is judged in pieces (`cutting.py`), and
by what it hides (`normalise.py`); the worst piece decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal, Protocol

import numpy as np

from llm_twin.serving.guardrails.cutting import Span, cut_document, cut_question
from llm_twin.serving.guardrails.features import build_rows, find_rules
from llm_twin.serving.guardrails.normalise import readings
from llm_twin.serving.guardrails.rules import is_doubtful_form, is_machine_turn, is_turn, weigh_rules

Place = Literal["input", "document"]
Judged = tuple[Span, float, list[str]]  # a span, how far beyond the threshold, the rules that match
DOUBTFUL = -9.0  # distance from the threshold above which a sentence is looked at with its neighbours too
# Where a passage holds something to blank, more of it goes: each sentence that is at most so far below the threshold
# for blanking; and of the nearest ones each that is at most so far below goes unless it is needed.
STRICT, STRICT_NEAR, NEAR = 5.5, 11.5, 2
HIDDEN = 1.0  # what it adds that words were hidden and came to light by decoding


class Scores(Protocol):
    """What is needed of the reader."""

    def score(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """n × 2: log odds of an attack as a question, and as a piece of a document."""
        ...


@dataclass(frozen=True)
class Suspicion:
    """Whether a text is an attack, by which rules, and how sure (0 to 1; above 0.5 is an attack); `spans` are the
    sentences that should not reach a model, and `near` those around them that should only if they are needed."""

    attack: bool
    rules: tuple[str, ...] = ()
    nearness: float = 0.0
    spans: tuple[Span, ...] = ()
    near: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Weights:
    """The learned regressions, by place; a document's sentences are blanked from `blank` below its threshold on."""

    weights: dict[str, np.ndarray[Any, Any]]
    offsets: dict[str, float]
    thresholds: dict[str, float]
    blank: float
    examples: str  # digest of the texts it was learned from


@cache
def read_weights() -> Weights:
    """The shipped weights."""
    with (resources.files("llm_twin.serving.guardrails") / "weights.npz").open("rb") as file:
        kept = np.load(file)
        places = ("input", "document")
        thresholds = {place: float(kept[f"{place}_threshold"]) for place in places}
        return Weights(
            {place: kept[f"{place}_weights"].astype(np.float32) for place in places},
            {place: float(kept[f"{place}_offset"]) for place in places},
            thresholds,
            thresholds["document"] - float(kept["blank_threshold"]),
            str(kept["examples"]),
        )


@dataclass
class InjectionDetector:
    """The classifier; without a reader, the rules alone."""

    reader: Scores | None = None

    def judge(self, text: str, place: Place = "input") -> Suspicion:
        """Judge a question in pieces of some sentences, a document as `judge_documents` does."""
        if place == "document":
            return self.judge_documents([text])[0]
        pieces = cut_question(text)
        return _conclude(list(zip(pieces, *self._values([text[a:b] for a, b in pieces], place), strict=True)))

    def judge_documents(self, texts: Sequence[str]) -> list[Suspicion]:
        """Judge each text by its sentences, and by two neighbours where one of them is not quite harmless; the
        sentences of all texts go through the reader together. For a pair that is an attack only together, the span
        is the worse of the two: the other is the author's. Where there is one order its other sentences are near, so
        what is left of such a text is judged more strictly."""
        blank = read_weights().blank if self.reader is not None else 0.0
        pieces = [(owner, span) for owner, text in enumerate(texts) for span in cut_document(text)]
        judged = self._judge_pieces(texts, pieces)
        pairs = [
            (one[0], (one[1][0], other[1][1]))
            for one, other, a, b in zip(pieces, pieces[1:], judged, judged[1:], strict=False)
            if one[0] == other[0] and max(a[1], b[1]) > DOUBTFUL
        ]
        found: list[list[Judged]] = [[] for _ in texts]
        for (owner, _), piece in zip(pieces + pairs, judged + self._judge_pieces(texts, pairs), strict=True):
            found[owner].append(piece)
        return [
            _judge_strictly(text, _take_the_rest(text, _blame_one(_conclude(one, blank), one), one), one, blank)
            for text, one in zip(texts, found, strict=True)
        ]

    def _judge_pieces(self, texts: Sequence[str], pieces: list[tuple[int, Span]]) -> list[Judged]:
        cut = [texts[owner][a:b] for owner, (a, b) in pieces]
        values, rules = self._values(cut, "document")
        if self.reader is not None:  # doubtful by form: blanked, though no attack
            doubt = -read_weights().blank / 2
            values = [max(value, doubt) if is_doubtful_form(c) else value for c, value in zip(cut, values, strict=True)]
        return [(span, value, names) for (_, span), value, names in zip(pieces, values, rules, strict=True)]

    def _values(self, pieces: Sequence[str], place: Place) -> tuple[list[float], list[list[str]]]:
        """For each piece how far it is beyond the threshold (negative: harmless), and the rules that matched."""
        if not pieces:
            return [], []
        if self.reader is None:
            rules = find_rules(pieces)
            return [weigh_rules(p, found) - 0.99 for p, found in zip(pieces, rules, strict=True)], rules
        known = read_weights()
        texts, owners = list(pieces), list(range(len(pieces)))
        for number, piece in enumerate(pieces):
            hidden = readings(piece)[1:]
            texts += hidden
            owners += [number] * len(hidden)
        rules = find_rules(texts)
        worded = np.asarray(build_rows(texts, rules) @ known.weights[place]).ravel() + known.offsets[place]
        scores = worded + self.reader.score(texts)[:, int(place == "document")] - known.thresholds[place]
        values = [float(score) for score in scores[: len(pieces)]]
        for owner, score in zip(owners[len(pieces) :], scores[len(pieces) :], strict=True):
            values[owner] = max(values[owner], float(score) + HIDDEN)
        return values, rules[: len(pieces)]


def _blame_one(suspicion: Suspicion, pieces: list[Judged]) -> Suspicion:
    """The suspicion with each pair's span narrowed to its worse sentence."""
    spans: list[Span] = []
    for start, end in suspicion.spans:
        inside = [(v, s) for s, v, _ in pieces if start <= s[0] and s[1] <= end and s != (start, end)]
        worst = max(inside)[1] if inside else (start, end)
        if worst not in spans:
            spans.append(worst)
    return replace(suspicion, spans=tuple(spans))


def _take_the_rest(text: str, suspicion: Suspicion, pieces: list[Judged]) -> Suspicion:
    """The suspicion with the sentence after each order that is beyond the threshold, and with the turn that a machine's
    forged turn answers, if in the same paragraph."""
    if not suspicion.spans:
        return suspicion
    rest: list[Span] = []
    turn: list[Span] = []  # the pieces of the turn that is being read
    previous: Span | None = None
    for span in cut_document(text):
        apart = previous is None or "\n\n" in text[previous[1] : span[0]]
        if is_machine_turn(text[span[0] : span[1]]) and not apart:
            rest += turn
        elif previous is not None and not apart and previous in suspicion.spans and _is_beyond(previous, pieces):
            rest.append(span)
        begins = is_turn(text[span[0] : span[1]])
        turn = [span] if begins else [*turn, span] if turn and not apart else []
        previous = span
    return replace(suspicion, spans=tuple(dict.fromkeys([*suspicion.spans, *rest])))


def _judge_strictly(text: str, suspicion: Suspicion, pieces: list[Judged], blank: float) -> Suspicion:
    """The suspicion, if of anything, with the sentences that would pass alone but not beside an order."""
    spans, values = cut_document(text), {span: value for span, value, _ in pieces}
    orders = [place for place, span in enumerate(spans) if span in suspicion.spans]
    if not orders or not blank:
        return suspicion
    cut = [*suspicion.spans, *(span for span in spans if values[span] > -blank - STRICT)]
    places = {place + step for place in orders for step in range(-NEAR, NEAR + 1)}
    near = [span for place, span in enumerate(spans) if place in places and values[span] > -blank - STRICT_NEAR]
    return replace(suspicion, spans=tuple(dict.fromkeys(cut)), near=tuple(span for span in near if span not in cut))


def _is_beyond(sentence: Span, pieces: list[Judged]) -> bool:
    """Whether a sentence, alone or with a neighbour, is beyond the threshold."""
    return any(value > 0 and span[0] <= sentence[0] and sentence[1] <= span[1] for span, value, _ in pieces)


def _conclude(pieces: list[Judged], doubt: float = 0.0) -> Suspicion:
    """The verdict on a text from those on its pieces, single sentences before pairs; spans from `doubt` below the
    threshold on."""
    spans: list[Span] = []
    named: list[str] = []
    for span, value, found in pieces:
        if any(span[0] <= known[0] and known[1] <= span[1] for known in spans):
            continue  # two sentences are an attack only if neither was one alone
        if value > -doubt:
            spans.append(span)
            named += [name for name in found if name not in named]
    worst = max(value for _, value, _ in pieces)
    return Suspicion(worst > 0, tuple(named), round(1 / (1 + float(np.exp(-worst))), 3), tuple(spans))
