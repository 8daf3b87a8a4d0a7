"""Is each sentence of an answer supported by the retrieved passages, and by which characters of them?

A sentence is held against every window of one and two sentences of the sources. Its support is the share of
its content words found in the window, weighed by how rare they are among the sources, and the cosine of the
two vectors; a number or a name that the window does not have, or a negation on one side only, takes support
away: these are what a wrong paraphrase changes while its vector stays close (FactCC, Kryściński et al. 2020,
builds its negatives from them). What stands in quotation marks, here or there, neither supports nor needs support.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from llm_twin.documents import AnswerSentence, Chunk, Citation
from llm_twin.support.quotes import unquote
from llm_twin.support.sentences import is_heading, split_sentences
from llm_twin.support.wording import Wording, read_wording, stem

LEXICAL_WEIGHT = 0.6
MISSING_NUMBER = 0.35  # what a number of the sentence that its source lacks takes from its support
MISSING_NAME = 0.25
NEGATED = 0.3
CANDIDATES = 6  # windows whose vectors are compared, best by words first
MAX_CITATIONS = 2


class Encodes(Protocol):
    """What is needed of an encoder."""

    def encode(self, texts: list[str]) -> np.ndarray[Any, Any]:
        """Vectors of `texts`: n × d, float32, L2-normalised."""
        ...

    def encode_query(self, text: str) -> np.ndarray[Any, Any]:
        """Vector of one question: d, float32, L2-normalised."""
        ...


@dataclass(frozen=True)
class Window:
    """One or two neighbouring sentences of a chunk; `start` and `end` count within the document."""

    chunk: Chunk
    text: str
    start: int
    end: int
    wording: Wording


def check_support(
    sentences: Sequence[str], chunks: Sequence[Chunk], encoder: Encodes, min_support: float
) -> list[AnswerSentence]:
    """Mark each sentence supported or not, with citations (chunk, character span, quote, score 0 to 1)."""
    windows = list_windows(chunks)
    rarity = _rarity(windows)
    picked = [_nearest(read_wording(unquote(sentence)), windows, rarity) for sentence in sentences]
    texts = list(dict.fromkeys([*sentences, *(windows[i].text for near in picked for i, _ in near)]))
    vectors = dict(zip(texts, encoder.encode(texts), strict=True)) if any(picked) else {}
    return [
        _judge(sentence, near, windows, vectors, min_support) for sentence, near in zip(sentences, picked, strict=True)
    ]


def list_windows(chunks: Sequence[Chunk]) -> list[Window]:
    """All windows of one and two sentences, headings left out; a chunk given twice counts once."""
    windows: list[Window] = []
    for chunk in {chunk.chunk_id: chunk for chunk in chunks}.values():
        sentences = [s for s in split_sentences(chunk.text) if not is_heading(chunk.text, s)]
        for position, sentence in enumerate(sentences):
            for last in sentences[position : position + 2]:
                text = chunk.text[sentence.start : last.end]
                start, end = chunk.start + sentence.start, chunk.start + last.end
                windows.append(Window(chunk, text, start, end, read_wording(_say(text))))
    return windows


def _say(text: str) -> str:
    """What of a text states something: a question does not, nor does a quotation."""
    return " ".join(one.text for one in split_sentences(unquote(text)) if not one.text.rstrip().endswith("?"))


def _rarity(windows: Sequence[Window]) -> dict[str, float]:
    """Inverse document frequency of each stem among the windows."""
    counts: dict[str, int] = {}
    for window in windows:
        for root in window.wording.stems:
            counts[root] = counts.get(root, 0) + 1
    return {root: math.log(1 + len(windows) / count) for root, count in counts.items()}


def _nearest(said: Wording, windows: Sequence[Window], rarity: dict[str, float]) -> list[tuple[int, float]]:
    """The windows that hold most of what is said: (position, weighted share of stems held), best first."""
    unknown = max(rarity.values(), default=1.0)
    whole = sum(rarity.get(root, unknown) for root in said.stems)
    if not whole:
        return []
    shares = [
        (i, sum(rarity[root] for root in said.stems & window.wording.stems) / whole) for i, window in enumerate(windows)
    ]
    shares.sort(key=lambda pair: (-pair[1], len(windows[pair[0]].text)))
    return [pair for pair in shares[:CANDIDATES] if pair[1] > 0]


def _judge(
    sentence: str,
    near: list[tuple[int, float]],
    windows: Sequence[Window],
    vectors: dict[str, np.ndarray[Any, Any]],
    min_support: float,
) -> AnswerSentence:
    said = read_wording(unquote(sentence))
    scored: list[tuple[float, Window]] = []
    for i, share in near:
        window = windows[i]
        cosine = max(0.0, float(vectors[sentence] @ vectors[window.text]))
        score = LEXICAL_WEIGHT * share + (1 - LEXICAL_WEIGHT) * cosine
        score -= _contradiction(sentence, said, window)
        scored.append((max(0.0, min(1.0, score)), window))
    scored.sort(key=lambda pair: -pair[0])
    kept: list[tuple[float, Window]] = []
    for score, window in scored:
        if score >= min_support and len(kept) < MAX_CITATIONS and not any(_overlap(window, w) for _, w in kept):
            kept.append((score, window))
    return AnswerSentence(text=sentence, supported=bool(kept), citations=[cite(w, s) for s, w in kept])


def _overlap(one: Window, other: Window) -> bool:
    same = one.chunk.document_id == other.chunk.document_id
    return same and one.start < other.end and other.start < one.end


def _contradiction(sentence: str, said: Wording, window: Window) -> float:
    """What numbers, names and negations on one side only take away; nothing from a verbatim quotation."""
    source = window.wording
    if " ".join(sentence.split()) in " ".join(window.text.split()):
        return 0.0
    context = read_wording(" ".join([window.chunk.title, *window.chunk.headings]))
    known = source.names | source.stems | context.names | context.stems
    lost = MISSING_NUMBER * len(said.numbers - source.numbers - context.numbers)
    lost += MISSING_NAME * len({n for n in said.names if n not in known and stem(n) not in known})
    if (said.negations > 0) != (source.negations > 0):
        lost += NEGATED
    return lost


def cite(window: Window, score: float) -> Citation:
    """The window as a citation."""
    chunk = window.chunk
    return Citation(
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        url=chunk.url,
        title=chunk.title,
        start=window.start,
        end=window.end,
        quote=window.text,
        score=round(score, 4),
    )
