"""What the injection classifier sees of a text's wording: words and letters, and the rules that match.

Hashed n-grams of words and letters carry the wording, in languages too that the reader does not know; the rules carry
forms. One row of numbers for each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from llm_twin.serving.guardrails.normalise import readings
from llm_twin.serving.guardrails.rules import RULES, match_rules

VERSION = 3  # of this module's rows: weights that were learned on others do not fit
BUCKETS = 2**13
# Each block's share in the regression's penalty: found by leaving families of our own examples out.
WORDS_SCALE, LETTERS_SCALE, RULE_SCALE = 1.5, 1.5, 0.5
MAX_CHARACTERS = 1000  # of one piece of text


@cache
def _hashers() -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import HashingVectorizer

    same = {"n_features": BUCKETS, "norm": "l2", "alternate_sign": False, "binary": True}
    words = HashingVectorizer(ngram_range=(1, 3), token_pattern=r"(?u)\b\w+\b|[<>{}\[\]#|!=]+", **same)
    return words, HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **same)


def find_rules(texts: Sequence[str]) -> list[list[str]]:
    """The rules that match each text, in any reading of it."""
    return [match_rules(readings(text[:MAX_CHARACTERS])) for text in texts]


def build_rows(texts: Sequence[str], rules: Sequence[Sequence[str]]) -> Any:
    """A sparse matrix, a row for each text; `rules` says what matched."""
    from scipy import sparse

    cut = [text[:MAX_CHARACTERS] for text in texts]
    words, letters = _hashers()
    names = list(RULES)
    matched = np.array([[float(name in found) for name in names] for found in rules], np.float32)
    return sparse.hstack(
        [
            words.transform(cut) * WORDS_SCALE,
            letters.transform(cut) * LETTERS_SCALE,
            sparse.csr_matrix(matched * RULE_SCALE),
        ]
    ).tocsr()
