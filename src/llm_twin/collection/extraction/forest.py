"""A forest of small regression trees, read from JSON and asked with numpy: nothing heavier is imported for it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEAF = -1


class Forest:
    """Gradient-boosted trees for one probability (Friedman 2001), as scikit-learn's histogram trees grow them."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        self.features: list[str] = content["features"]
        self.intercept: float = content["intercept"]
        size = max(len(tree) for tree in content["trees"])
        padded = [tree + [[LEAF, 0.0, 0, 0]] * (size - len(tree)) for tree in content["trees"]]
        nodes = np.array(padded, float)  # (trees, nodes, [feature or LEAF, threshold or value, left, right])
        self.feature = nodes[:, :, 0].astype(np.int64)
        self.number = nodes[:, :, 1]
        self.left, self.right = nodes[:, :, 2].astype(np.int64), nodes[:, :, 3].astype(np.int64)

    def predict(self, columns: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The probability of each row, shape (n,); `columns` are the features by name, each of shape (n,)."""
        rows = np.stack([columns[name] for name in self.features], axis=1)
        trees = np.arange(len(self.feature))[None, :]
        places = np.zeros((len(rows), len(self.feature)), np.int64)
        numbers = np.arange(len(rows))[:, None]
        while True:
            feature = self.feature[trees, places]
            inner = feature != LEAF
            if not inner.any():
                break
            low = rows[numbers, np.maximum(feature, 0)] <= self.number[trees, places]
            below = np.where(low, self.left[trees, places], self.right[trees, places])
            places = np.where(inner, below, places)
        score = self.intercept + self.number[trees, places].sum(axis=1)
        return np.asarray(1 / (1 + np.exp(-score)), float)


@cache
def load_forest() -> Forest:
    """The forest that comes with this package."""
    return Forest(Path(__file__).parent / "weights.json")
