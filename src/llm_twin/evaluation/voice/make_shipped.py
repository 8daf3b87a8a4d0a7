"""Makes `background.npz`: `python -m llm_twin.evaluation.voice.make_shipped`, for maintainers.

Reads the prose in the docstrings of installed open-source packages, and keeps numbers only: counts of n-grams over
text whose topic words are masked, hashed, and style vectors. No sentence can be read back.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from llm_twin.evaluation.voice.background import SHIPPED, SHIPPED_LENGTHS
from llm_twin.evaluation.voice.features import featurise
from llm_twin.evaluation.voice.prose import cut_pieces, extract_prose
from llm_twin.training.corpus import read_corpus

PACKAGES = ["accelerate", "hypothesis", "ipython", "langchain-core", "matplotlib", "networkx", "nltk", "numpy",
            "pandas", "peft", "plotly", "pymongo", "scikit-learn", "scipy", "sentence-transformers", "sqlalchemy",
            "torch", "transformers", "trl", "werkzeug"]  # fmt: skip
MAX_PIECES = 30  # of a package, of each length
MAX_WORDS = 60_000  # of a package


def main() -> None:
    """Write the file and say what is in it."""
    texts: list[str] = []
    group: list[int] = []
    lengths: list[int] = []
    for number, package in enumerate(PACKAGES):
        passages = read_corpus([package], MAX_WORDS).passages
        paragraphs = [p for passage in passages for p in extract_prose(passage.text)]
        for words in SHIPPED_LENGTHS:
            pieces = sorted(cut_pieces(paragraphs, words), key=lambda piece: zlib.crc32(piece.encode()))
            texts += pieces[:MAX_PIECES]
            group += [number] * len(pieces[:MAX_PIECES])
            lengths += [words] * len(pieces[:MAX_PIECES])
        print(f"{package}: {len(paragraphs)} paragraphs")
    write(SHIPPED, texts, group, lengths)
    print(f"{SHIPPED}: {len(texts)} pieces, {SHIPPED.stat().st_size:,} bytes")


def write(path: Path, texts: list[str], group: list[int], lengths: list[int]) -> None:
    """Write the pieces' numbers."""
    features = featurise(texts)
    ngrams = features.ngrams
    frequency = np.bincount(ngrams.indices, minlength=ngrams.shape[1])
    ngrams.data[frequency[ngrams.indices] < 3] = 0  # too rare to weigh, and most of the file
    ngrams.eliminate_zeros()
    np.savez_compressed(
        path,
        names=np.array(PACKAGES),
        group=np.array(group, dtype=np.int16),
        words=np.array(lengths, dtype=np.int16),
        rows=ngrams.indptr.astype(np.int32),
        buckets=ngrams.indices.astype(np.uint16),
        counts=np.minimum(ngrams.data, 255).astype(np.uint8),
        styles=features.styles.astype(np.float16),
    )


if __name__ == "__main__":
    main()
