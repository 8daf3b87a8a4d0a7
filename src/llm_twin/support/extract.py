"""The author's own sentences as an answer, with their sources: for when a model's words will not do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_twin.documents import AnswerSentence, Chunk, Citation
from llm_twin.support.check import Encodes, Window, cite, list_windows
from llm_twin.support.sentences import split_sentences
from llm_twin.support.wording import read_wording

COSINE_WEIGHT = 0.65
RANK_WEIGHT = 0.15
REDUNDANT = 0.85  # cosine above which a sentence says what another already said
MIN_WORDS = 5
CANDIDATES = 24


def extract_answer(
    question: str, chunks: Sequence[Chunk], encoder: Encodes, max_sentences: int = 3
) -> list[AnswerSentence]:
    """The sentences of `chunks` (best passage first) that best answer, in the author's order.

    A sentence counts by its vector's nearness to the question, the question's content words it holds, and its
    passage's rank; sentences that repeat another are left out (maximal marginal relevance, Carbonell 1998).
    """
    windows = [
        window
        for window in list_windows(chunks)
        if len(window.text.split()) >= MIN_WORDS and _is_single(window) and not window.text.endswith("?")
    ]
    if not windows:
        return []
    asked = read_wording(question)
    ranks = {chunk.chunk_id: rank for rank, chunk in enumerate(chunks)}
    overlap = [len(asked.stems & w.wording.stems) / max(1, len(asked.stems)) for w in windows]
    by_words = sorted(range(len(windows)), key=lambda i: (-overlap[i], ranks[windows[i].chunk.chunk_id], i))
    shortlist = by_words[:CANDIDATES]
    vectors = encoder.encode([question, *(windows[i].text for i in shortlist)])
    cosines = vectors[1:] @ vectors[0]
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
        if all(float(vectors[n + 1] @ vectors[m + 1]) < REDUNDANT for m in picked):
            picked.append(int(n))
    chosen = [(windows[shortlist[n]], scores[n]) for n in picked]
    chosen.sort(key=lambda pair: (ranks[pair[0].chunk.chunk_id], pair[0].start))
    return [AnswerSentence(text=" ".join(w.text.split()), supported=True, citations=[_cite(w, s)]) for w, s in chosen]


def _is_single(window: Window) -> bool:
    return len(split_sentences(window.text)) == 1


def _cite(window: Window, score: float) -> Citation:
    return cite(window, max(0.0, min(1.0, score)))
