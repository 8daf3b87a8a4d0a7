"""A text that is being written: its prompt, how its tokens are chosen, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

BASE = "__base__"  # peft's name for "no adapter" in a mixed batch

Finish = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class SamplingChoice:
    """How a row's tokens are chosen; temperature 0 is greedy."""

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass
class Row:
    """One text to write. `emit(text, finish)` is called from the engine's thread as text becomes final."""

    tokens: list[int]
    sampling: SamplingChoice
    adapter: str
    emit: Callable[[str, Finish | Exception | None], None]
    written: list[int] = field(default_factory=list)
    sent: int = 0  # characters handed over
    cancelled: bool = False
    generator: Any = None

    def left(self, context: int) -> int:
        """How many tokens it may still write in a context of that many tokens."""
        written = len(self.written)
        return min(self.sampling.max_tokens - written, context - len(self.tokens) - written)


def pick_token(logits: Any, row: Row) -> int:
    """The next token of one row from its logits (vocabulary,), float32."""
    import torch

    sampling = row.sampling
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*row.tokens, *row.written}), device=logits.device)
        scores = logits[seen]
        logits[seen] = torch.where(
            scores > 0, scores / sampling.repetition_penalty, scores * sampling.repetition_penalty
        )
    if row.written and (sampling.presence_penalty or sampling.frequency_penalty):
        written, counts = torch.tensor(row.written, device=logits.device).unique(return_counts=True)
        logits[written] -= sampling.presence_penalty + sampling.frequency_penalty * counts
    if sampling.temperature < 1e-5:
        return int(logits.argmax())
    logits = logits / sampling.temperature
    if sampling.top_k > 0:
        kept = torch.topk(logits, min(sampling.top_k, logits.numel())).values[-1]
        logits = logits.masked_fill(logits < kept, float("-inf"))
    if sampling.top_p < 1:
        ordered, order = logits.sort(descending=True)
        beyond = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1) >= sampling.top_p
        logits = logits.index_fill(0, order[beyond], float("-inf"))
    return int(torch.multinomial(logits.softmax(-1), 1, generator=row.generator))
