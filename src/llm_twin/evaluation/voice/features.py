"""What the classifiers see of a piece of text: masked n-gram counts and a style vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_twin.evaluation.voice.masking import count_ngrams, mask_topic, stack_ngrams
from llm_twin.evaluation.voice.style import style_names, style_vector


@dataclass(frozen=True)
class Features:
    """n pieces: `ngrams` n × 2^16 counts (scipy CSR), `styles` n × number of style features."""

    ngrams: Any
    styles: np.ndarray

    def __len__(self) -> int:
        return int(self.styles.shape[0])

    def take(self, rows: Sequence[int] | np.ndarray) -> Features:
        """The pieces at `rows`."""
        chosen = np.asarray(rows, dtype=int)
        return Features(self.ngrams[chosen], self.styles[chosen])


def featurise(texts: Sequence[str]) -> Features:
    """Features of texts of equal length; about 250 texts of 250 words a second."""
    ngrams = stack_ngrams(count_ngrams(mask_topic(text)) for text in texts)
    styles = [style_vector(text) for text in texts]
    return Features(ngrams, np.array(styles) if styles else np.zeros((0, len(style_names()))))


def join(parts: Sequence[Features]) -> Features:
    """Several sets of pieces as one."""
    from scipy.sparse import vstack

    return Features(vstack([part.ngrams for part in parts]).tocsr(), np.vstack([part.styles for part in parts]))
