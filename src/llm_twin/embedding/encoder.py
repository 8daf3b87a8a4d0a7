"""An encoder: unit vectors of texts, whatever computes them, with token counts and an optional cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llm_twin.embedding import workers
from llm_twin.embedding.cache import EmbeddingCache
from llm_twin.errors import ModelError

# texts → what `embed` takes of each, such as its tokens; its length says how much work a text is
Prepare = Callable[[list[str]], list[Any]]
# lengths of prepared texts → their places in batches
Plan = Callable[[list[int]], list[list[int]]]
# prepared texts → float32 array of one row a text; rows need not be of unit length; called from several threads at once
Embed = Callable[[list[Any]], np.ndarray]


@dataclass
class Encoder:
    """Turns texts into L2-normalised float32 vectors.

    `fingerprint` names the weights: vectors of different fingerprints must not be compared. `precision` names how
    they were computed (fp32, bf16, int8 …); those vectors agree and may be mixed, but are cached apart.
    """

    name: str
    fingerprint: str
    dimension: int
    max_tokens: int
    tokenizer: Any  # tokenizers.Tokenizer without truncation or padding
    embed: Embed
    precision: str = "fp32"
    batch_size: int = 16
    query_prompt: str = ""
    passage_prompt: str = ""
    cache: EmbeddingCache | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"embedded": 0, "cached": 0})
    prepare: Prepare = list
    plan: Plan | None = None  # None: batches of `batch_size` texts of as many tokens as each other

    def encode(self, texts: Sequence[str], owners: Sequence[str] | None = None) -> np.ndarray:
        """Vectors of passages, n × dimension. `owners` are the documents they come from, so `forget` finds them."""
        prompted = [self.passage_prompt + text for text in texts]
        if self.cache is None:
            return self._embed_sorted(prompted)
        keys = [self.cache.key(self.fingerprint, self.precision, text) for text in prompted]
        known = self.cache.read(keys, self.dimension)
        missing = [row for row, key in enumerate(keys) if key not in known]
        first = {keys[row]: row for row in reversed(missing)}  # equal texts are embedded once
        rows = sorted(first.values())
        fresh = self._embed_sorted([prompted[row] for row in rows])
        known |= {keys[row]: fresh[at] for at, row in enumerate(rows)}
        self.cache.write({keys[row]: fresh[at] for at, row in enumerate(rows)})
        if owners is not None:
            self.cache.own(zip(keys, owners, strict=True))
        self.counts["cached"] += len(keys) - len(rows)
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, self.dimension), np.float32)

    def encode_query(self, text: str) -> np.ndarray:
        """Vector of one query, of `dimension` numbers; never cached, since questions are not the author's text."""
        return self._embed_sorted([self.query_prompt + text])[0]

    def count_tokens(self, text: str) -> int:
        """How many tokens the model sees in `text`, special tokens left out."""
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def _embed_sorted(self, texts: list[str]) -> np.ndarray:
        """Embed in batches of which little is padding; the order of `texts` is kept."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        prepared = self.prepare(texts)
        batches = (self.plan or self._plan_by_length)([len(one) for one in prepared])
        waiting = [workers.submit(self.embed, [prepared[row] for row in rows]) for rows in batches]
        for rows, answer in zip(batches, waiting, strict=True):
            vectors[rows] = answer.result()
        self.counts["embedded"] += len(texts)
        return normalise(vectors)

    def _plan_by_length(self, lengths: list[int]) -> list[list[int]]:
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]


def normalise(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit length, float32. Raises ModelError for a row that is zero or not finite."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.all(np.isfinite(norms)) or not np.all(norms > 0):
        bad = int(np.sum(~np.isfinite(norms) | (norms <= 0)))
        raise ModelError(
            f"the encoder gave {bad} vectors that are zero or not finite", "use another embedder or precision"
        )
    return (vectors / norms).astype(np.float32)
