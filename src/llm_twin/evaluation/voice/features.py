"""What the classifiers see of a piece of text: masked n-gram counts and a style vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_twin.evaluation.voice.masking import count_ngrams
from llm_twin.evaluation.voice.prose import cut_pieces
from llm_twin.evaluation.voice.style import style_names, style_vector

TRAINING_LENGTHS = (100, 250)  # words; classifiers learn from both, so that they serve texts of either


@dataclass(frozen=True)
class Features:
    """n pieces: `ngrams` n × 2^16 counts (scipy CSR), `styles` n × number of style features."""

    ngrams: Any
    styles: np.ndarray

    def __len__(self) -> int:
        return int(self.styles.shape[0])

    def take(self, rows: Sequence[int] | np.ndarray) -> Features:
        """The pieces at `rows`, or where a mask is true."""
        chosen = np.asarray(rows)
        return Features(self.ngrams[chosen], self.styles[chosen])


@dataclass(frozen=True)
class Pieces:
    """The pieces of several documents: each one's features, length in words, and document (a number)."""

    features: Features
    lengths: np.ndarray
    documents: np.ndarray

    def training(self, documents: np.ndarray | None = None) -> Features:
        """Pieces to learn from, of all documents or of those numbered."""
        wanted = np.isin(self.lengths, TRAINING_LENGTHS)
        if documents is not None:
            wanted &= np.isin(self.documents, documents)
        return self.features.take(np.flatnonzero(wanted))

    def of_length(self, words: int) -> tuple[Features, np.ndarray]:
        """Pieces of exactly `words` words, and their documents."""
        rows = np.flatnonzero(self.lengths == words)
        return self.features.take(rows), self.documents[rows]


def featurise(texts: Sequence[str]) -> Features:
    """Features of texts; some 150 texts of 250 words a second."""
    styles = [style_vector(text) for text in texts]
    return Features(count_ngrams(texts), np.array(styles) if styles else np.zeros((0, len(style_names()))))


def featurise_documents(documents: Sequence[Sequence[str]], lengths: Sequence[int]) -> Pieces:
    """Pieces of each length (and of the training lengths) of documents given as prose paragraphs."""
    texts, words, belongs = [], [], []
    for number, paragraphs in enumerate(documents):
        for length in sorted({*lengths, *TRAINING_LENGTHS}):
            for piece in cut_pieces(paragraphs, length):
                texts.append(piece)
                words.append(length)
                belongs.append(number)
    return Pieces(featurise(texts), np.array(words, dtype=int), np.array(belongs, dtype=int))


def join(parts: Sequence[Features]) -> Features:
    """Several sets of pieces as one."""
    from scipy.sparse import vstack

    return Features(vstack([part.ngrams for part in parts]).tocsr(), np.vstack([part.styles for part in parts]))
