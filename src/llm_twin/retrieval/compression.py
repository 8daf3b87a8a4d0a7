"""Cut sentences that do not bear on the question, and put what is left into a context of a given size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from llm_twin.embedding import Encoder
from llm_twin.retrieval.records import Hit
from llm_twin.support import split_sentences


def compress(query: np.ndarray, hits: Sequence[Hit], encoder: Encoder, share: float) -> None:
    """Leave in each hit the sentences at least `share` times as like the question as the best of all hits' sentences.

    The best sentence of a hit always stays. Spans are set on the hits, as characters of the document.
    """
    sentences = [split_sentences(hit.chunk.text) for hit in hits]
    flat = [sentence.text for own in sentences for sentence in own]
    if not flat:
        return
    likeness = encoder.encode(flat) @ query
    threshold = share * float(likeness.max())
    at = 0
    for hit, own in zip(hits, sentences, strict=True):
        values = likeness[at : at + len(own)]
        at += len(own)
        if not own:
            continue
        best = int(values.argmax())
        spans: list[tuple[int, int]] = []
        for number, sentence in enumerate(own):
            if values[number] >= threshold or number == best:
                start, end = hit.chunk.start + sentence.start, hit.chunk.start + sentence.end
                if spans and number and own[number - 1].end + hit.chunk.start == spans[-1][1]:
                    spans[-1] = (spans[-1][0], end)  # they follow each other: one span
                else:
                    spans.append((start, end))
        hit.kept = spans


@dataclass(frozen=True)
class Context:
    """Text for a model, each passage with the number it is cited by, and the hits that were put in, in that order."""

    text: str
    hits: list[Hit]
    tokens: int


def build_context(hits: Sequence[Hit], max_tokens: int, count_tokens: Callable[[str], int]) -> Context:
    """As many whole passages as fit, best first, each headed with its number, title and address.

    A passage that does not fit is left out and the next tried; the first is cut at a sentence if it must be.
    """
    parts: list[str] = []
    used: list[Hit] = []
    left = max_tokens
    for hit in hits:
        title = " > ".join([one for one in [hit.chunk.title, *hit.chunk.headings] if one])
        head = " ".join([one for one in [f"[{len(used) + 1}]", title, f"({hit.chunk.url})"] if one])
        body = hit.text
        size = count_tokens(f"{head}\n{body}\n\n")
        if size > left and not used:
            body = _cut(body, left - count_tokens(f"{head}\n\n\n"), count_tokens)
            size = count_tokens(f"{head}\n{body}\n\n")
        if size > left or not body:
            continue
        parts.append(f"{head}\n{body}")
        used.append(hit)
        left -= size
    return Context("\n\n".join(parts), used, max_tokens - left)


def _cut(text: str, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    end = 0
    for sentence in split_sentences(text):
        if count_tokens(text[: sentence.end]) > max_tokens:
            break
        end = sentence.end
    return text[:end]
