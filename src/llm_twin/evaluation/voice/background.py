"""Whose writing the author is told from: other authors where there are any, else what ships with the project.

The shipped background is numbers, not sentences: hashed n-gram counts of topic-masked text and style vectors, made
from the prose inside the documentation of open-source packages, grouped by package (`make_shipped`).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from llm_twin.evaluation.voice.features import Features, featurise
from llm_twin.evaluation.voice.masking import BUCKETS
from llm_twin.evaluation.voice.prose import cut_pieces

SHIPPED = Path(__file__).with_name("background.npz")
LENGTHS = (50, 100, 250)  # words of the shipped pieces


@dataclass(frozen=True)
class Background:
    """Pieces of `words` words by group (an author, or a package)."""

    words: int
    groups: dict[str, Features]
    shipped: bool = False


def make_background(documents: Mapping[str, Sequence[Sequence[str]]], words: int) -> Background:
    """A background of other authors: author → documents → prose paragraphs (of `extract_prose`)."""
    groups = {}
    for name, texts in documents.items():
        pieces = [piece for paragraphs in texts for piece in cut_pieces(paragraphs, words)]
        if pieces:
            groups[name] = featurise(pieces)
    return Background(words, groups)


def load_shipped_background(words: int) -> Background:
    """The shipped background at the length nearest to `words`."""
    nearest = min(LENGTHS, key=lambda length: abs(np.log(length / words)))
    return _read(SHIPPED, nearest)


@cache
def _read(path: Path, words: int) -> Background:
    from scipy.sparse import csr_matrix

    with np.load(path, allow_pickle=False) as stored:
        key = str(words)
        counts = stored[f"counts_{key}"].astype(float)
        shape = (len(stored[f"group_{key}"]), BUCKETS)
        ngrams = csr_matrix((counts, stored[f"buckets_{key}"].astype(np.int32), stored[f"rows_{key}"]), shape=shape)
        styles = stored[f"styles_{key}"].astype(float)
        belongs = stored[f"group_{key}"]
        names = [str(name) for name in stored["names"]]
    pieces = Features(ngrams, styles)
    groups = {name: pieces.take(np.flatnonzero(belongs == number)) for number, name in enumerate(names)}
    return Background(words, {name: found for name, found in groups.items() if len(found)}, shipped=True)


def write_background(path: Path, texts: Mapping[str, Sequence[str]], max_pieces: int) -> dict[str, int]:
    """Write a background file from prose paragraphs by group; returns the pieces of 100 words in each group.

    Of each group at most `max_pieces` pieces of each length, chosen by the hash of their text.
    """
    stored: dict[str, np.ndarray] = {"names": np.array(sorted(texts))}
    counted: dict[str, int] = {}
    for words in LENGTHS:
        pieces, group = [], []
        for number, name in enumerate(sorted(texts)):
            cut = sorted(cut_pieces(texts[name], words), key=lambda piece: zlib.crc32(piece.encode()))
            pieces += cut[:max_pieces]
            group += [number] * len(cut[:max_pieces])
            if words == 100:
                counted[name] = len(cut[:max_pieces])
        features = featurise(pieces)
        stored |= {
            f"group_{words}": np.array(group, dtype=np.int16),
            f"rows_{words}": features.ngrams.indptr.astype(np.int32),
            f"buckets_{words}": features.ngrams.indices.astype(np.uint16),
            f"counts_{words}": np.minimum(features.ngrams.data, 255).astype(np.uint8),
            f"styles_{words}": features.styles.astype(np.float16),
        }
    np.savez_compressed(path, **stored)  # type: ignore[arg-type]
    return counted
