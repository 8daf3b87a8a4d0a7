"""The author's documents as evaluation reads them: whole again from their passages, held-out ones apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llm_twin.documents import Chunk
from llm_twin.evaluation.voice.prose import extract_prose


@dataclass(frozen=True)
class AuthorTexts:
    """Document id → text, of documents that were trained on and of those held out."""

    training: dict[str, str]
    held_out: dict[str, str]

    def training_prose(self) -> dict[str, list[str]]:
        """Prose paragraphs of the training documents."""
        return {name: extract_prose(text) for name, text in self.training.items()}


def rebuild_documents(chunks: Iterable[Chunk]) -> dict[str, str]:
    """The documents' texts, passages in order, overlaps once."""
    by_document: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        by_document.setdefault(chunk.document_id, []).append(chunk)
    return {name: _join(sorted(parts, key=lambda c: c.start)) for name, parts in sorted(by_document.items())}


def split_texts(chunks: Iterable[Chunk], held_out: Iterable[str]) -> AuthorTexts:
    """The documents in two parts by the ids of those held out."""
    apart = set(held_out)
    texts = rebuild_documents(chunks)
    return AuthorTexts(
        training={name: text for name, text in texts.items() if name not in apart},
        held_out={name: text for name, text in texts.items() if name in apart},
    )


def _join(parts: Sequence[Chunk]) -> str:
    text, end = "", 0
    for chunk in parts:
        if chunk.end <= end:
            continue
        fresh = chunk.text[max(0, end - chunk.start) :]
        text += fresh if chunk.start <= end else "\n\n" + fresh
        end = chunk.end
    return text.strip()
