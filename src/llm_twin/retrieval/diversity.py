"""Say each thing once: duplicates out, and maximal marginal relevance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_twin.retrieval.records import Hit

SAME_COSINE = 0.985  # passages so alike tell a reader the same


def drop_duplicates(hits: Sequence[Hit]) -> list[Hit]:
    """Hits without those that say what a better one says.

    Also keeps one revision of each document, that of its best hit: while a document is being rewritten, a server
    that applies updates one by one may show both.
    """
    revision: dict[str, tuple[str, str]] = {}
    kept: list[Hit] = []
    rows: list[int] = []  # of those kept
    texts: set[str] = set()
    vectors = np.stack([hit.vector for hit in hits if hit.vector is not None] or [np.zeros(1)])
    alike = vectors @ vectors.T > SAME_COSINE
    row = -1
    for hit in hits:
        row += hit.vector is not None
        own = (hit.chunk.revision_id, str(hit.chunk.metadata.get("source", "")))
        if revision.setdefault(hit.chunk.document_id, own) != own:
            continue
        text = " ".join(hit.chunk.text.split()).casefold()
        if text in texts:
            continue
        if hit.vector is not None:
            if alike[row, rows].any():
                continue
            rows.append(row)
        texts.add(text)
        kept.append(hit)
    return kept


def diversify(hits: Sequence[Hit], weight: float, count: int) -> list[Hit]:
    """Choose `count` hits one by one, each for its score less its likeness to those chosen (Carbonell and Goldstein
    1998): (1 - weight) × score - weight × greatest cosine with a chosen hit, scores brought to 0…1."""
    left = list(hits)
    if not left or any(hit.vector is None for hit in left):
        return left[:count]
    scores = np.array([hit.score for hit in left])
    width = scores.max() - scores.min()
    relevance = (scores - scores.min()) / width if width > 0 else np.ones(len(left))
    vectors = np.stack([hit.vector for hit in left if hit.vector is not None])
    likeness = np.full(len(left), 0.0)
    chosen: list[int] = []
    while len(chosen) < min(count, len(left)):
        value = (1 - weight) * relevance - weight * likeness
        value[chosen] = -np.inf
        best = int(np.argmax(value))
        chosen.append(best)
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return [left[at] for at in chosen]
