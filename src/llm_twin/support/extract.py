"""The author's own sentences as an answer, with their sources: for when a model's words will not do."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from llm_twin.documents import AnswerSentence, Chunk, Citation
from llm_twin.support.check import Encodes, Window, cite, list_windows
from llm_twin.support.quotes import unquote
from llm_twin.support.sentences import split_sentences
from llm_twin.support.wording import read_wording

COSINE_WEIGHT = 0.65
RANK_WEIGHT = 0.15
REDUNDANT = 0.85  # cosine above which a sentence says what another already said
MIN_WORDS = 5
CANDIDATES = 24
_KEY = re.compile(r"^\s*[\w-]+:(?:\s|$)", re.M)


def extract_answer(
    question: str, chunks: Sequence[Chunk], encoder: Encodes, max_sentences: int = 3
) -> list[AnswerSentence]:
    """The sentences of `chunks` (best passage first) that best answer, in the author's order.

    A sentence counts by its vector's nearness to the question, the question's content words it holds (both of what it
    says, not of what it quotes), and its passage's rank; sentences that repeat another are left out (maximal marginal
    relevance, Carbonell 1998).
    """
    windows = [window for window in list_windows(chunks) if _is_prose(window.text) and _is_single(window)]
    if not windows:
        return []
    asked = read_wording(question)
    ranks = {chunk.chunk_id: rank for rank, chunk in enumerate(chunks)}
    overlap = [len(asked.stems & w.wording.stems) / max(1, len(asked.stems)) for w in windows]
    by_words = sorted(range(len(windows)), key=lambda i: (-overlap[i], ranks[windows[i].chunk.chunk_id], i))
    shortlist = by_words[:CANDIDATES]
    vectors = encoder.encode([" ".join(unquote(windows[i].text).split()) for i in shortlist])
    cosines = vectors @ encoder.encode_query(question)
    scores = [
        COSINE_WEIGHT * float(cosines[n])
        + (1 - COSINE_WEIGHT - RANK_WEIGHT) * overlap[i]
        + RANK_WEIGHT / (1 + ranks[windows[i].chunk.chunk_id])
        for n, i in enumerate(shortlist)
    ]
    picked: list[int] = []
    for n in np.argsort(scores)[::-1]:
        if len(picked) == max_sentences or (picked and scores[n] < 0.6 * scores[picked[0]]):
            break
        if all(float(vectors[n] @ vectors[m]) < REDUNDANT for m in picked):
            picked.append(int(n))
    chosen = [(windows[shortlist[n]], scores[n]) for n in picked]
    chosen.sort(key=lambda pair: (ranks[pair[0].chunk.chunk_id], pair[0].start))
    return [AnswerSentence(text=" ".join(w.text.split()), supported=True, citations=[_cite(w, s)]) for w, s in chosen]


def _is_prose(text: str) -> bool:
    """Whether a text is no question, and says enough outside of quotations that is no list of keys and values."""
    return len(unquote(text).split()) >= MIN_WORDS and not text.rstrip().endswith("?") and len(_KEY.findall(text)) < 2


def _is_single(window: Window) -> bool:
    return len(split_sentences(window.text)) == 1


def _cite(window: Window, score: float) -> Citation:
    return cite(window, max(0.0, min(1.0, score)))
