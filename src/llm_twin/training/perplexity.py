"""How well a model predicts held-out writing, document by document, and whether a change is significant.

A document is the unit: passages of one document are not independent, so two models are compared by the paired
differences of whole documents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_twin.progress import track


@dataclass(frozen=True)
class DocumentLoss:
    """Summed negative log-likelihood (nats) of a document's tokens, and how many tokens were predicted."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.total / self.tokens


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two models over documents; negative differences mean the second is better."""

    documents: int
    before: float  # perplexity over all tokens
    after: float
    difference: float  # mean over documents of the difference in nats a token
    low: float  # 95 % bootstrap interval of `difference`
    high: float
    p_value: float  # Wilcoxon signed-rank, two-sided

    @property
    def ratio(self) -> float:
        """Perplexity after over perplexity before."""
        return self.after / self.before


def document_losses(model: Any, tokenizer: Any, texts: Sequence[str], max_length: int) -> list[DocumentLoss]:
    """Losses of `texts` under `model`, in windows of `max_length` tokens that overlap by half.

    Each token is predicted once, with at least half a window of context after the first window. A text of fewer
    than two tokens gets one token of loss 0.
    """
    import torch

    losses = []
    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    for text in track(texts, "held-out perplexity"):
        ids = begin + tokenizer(text, add_special_tokens=False)["input_ids"]
        total, tokens, scored = 0.0, 0, 1
        start = 0
        while scored < len(ids):
            window = ids[start : start + max_length]
            with torch.inference_mode():
                batch = torch.tensor([window], device=model.device)
                logits = model(input_ids=batch, use_cache=False).logits[0, :-1].float()
                nats = torch.nn.functional.cross_entropy(logits, batch[0, 1:], reduction="none")
            fresh = nats[scored - start - 1 :]
            total += float(fresh.double().sum())
            tokens += len(fresh)
            scored += len(fresh)
            start = scored - max_length // 2
        losses.append(DocumentLoss(total, max(tokens, 1)))
    return losses


def perplexity(losses: Sequence[DocumentLoss]) -> float:
    """Perplexity over all tokens of all documents; NaN without documents."""
    tokens = sum(loss.tokens for loss in losses)
    return math.exp(sum(loss.total for loss in losses) / tokens) if losses else math.nan


def compare_losses(before: Sequence[DocumentLoss], after: Sequence[DocumentLoss], seed: int = 0) -> Comparison:
    """Compare two models on the same documents in the same order.

    The interval is a percentile bootstrap over documents (10,000 resamples); the test is Wilcoxon's signed-rank
    test, which needs no normality. Raises ValueError when the lists do not match or are empty.
    """
    import numpy as np
    from scipy.stats import wilcoxon

    if len(before) != len(after) or not before:
        raise ValueError(f"cannot pair {len(before)} documents with {len(after)}")
    differences = np.array([b.mean - a.mean for a, b in zip(before, after, strict=True)])
    samples = np.random.default_rng(seed).integers(0, len(differences), size=(10_000, len(differences)))
    low, high = np.percentile(differences[samples].mean(axis=1), [2.5, 97.5])
    p_value = float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    return Comparison(
        documents=len(differences),
        before=perplexity(before),
        after=perplexity(after),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=p_value,
    )
