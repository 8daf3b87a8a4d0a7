"""What the injection classifier sees of a text: states of a small encoder's lower layers, words and letters, the
rules that match, its place.

The states carry what a text does (it asks, tells, orders, and whom), hashed n-grams of words and letters the wording,
in languages too that the encoder does not know; the rules carry forms. One row of numbers for each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np

from llm_twin.serving.guardrails.normalise import readings
from llm_twin.serving.guardrails.rules import RULES, match_rules

VERSION = 2  # of this module's rows: weights that were learned on others do not fit
BUCKETS = 2**13
# Each block's share in the regression's penalty: found by leaving families of our own examples out.
STATES_SCALE, WORDS_SCALE, LETTERS_SCALE, RULE_SCALE, PLACE_SCALE = 2.0, 1.5, 1.5, 0.5, 0.5
MAX_CHARACTERS = 1000  # of one piece of text


class Reads(Protocol):
    """What is needed of the encoder's lower layers."""

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """A row of states for each text."""
        ...


@cache
def _hashers() -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer

    same = {"n_features": BUCKETS, "norm": "l2", "alternate_sign": False, "binary": True}
    words = HashingVectorizer(ngram_range=(1, 3), token_pattern=r"(?u)\b\w+\b|[<>{}\[\]#|!=]+", **same)
    return words, HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **same)


def find_rules(texts: Sequence[str]) -> list[list[str]]:
    """The rules that match each text, in any reading of it."""
    return [match_rules(readings(text[:MAX_CHARACTERS])) for text in texts]


def build_rows(texts: Sequence[str], documents: Sequence[bool], rules: Sequence[Sequence[str]], layers: Reads) -> Any:
    """A sparse matrix, a row for each text. `documents` says which stand in a document, `rules` what matched."""
    from scipy import sparse

    cut = [text[:MAX_CHARACTERS] for text in texts]
    words, letters = _hashers()
    names = list(RULES)
    matched = np.array([[float(name in found) for name in names] for found in rules], np.float32)
    places = np.array([[float(place)] for place in documents], np.float32)
    return sparse.hstack(
        [
            sparse.csr_matrix(np.asarray(layers.encode(cut), np.float32) * STATES_SCALE),
            words.transform(cut) * WORDS_SCALE,
            letters.transform(cut) * LETTERS_SCALE,
            sparse.csr_matrix(matched * RULE_SCALE),
            sparse.csr_matrix(places * PLACE_SCALE),
        ]
    ).tocsr()
