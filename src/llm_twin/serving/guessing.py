"""Guesses at the next tokens, which the model checks all in one step: speculative decoding.

A step of a small batch costs what reading the weights costs, so that five tokens take little longer than one. A guess
changes no answer: every token is picked from the model's own logits, and a guess only saves the step in which it would
have been picked (Leviathan et al. 2023, "Fast inference from transformers via speculative decoding"; guesses from the
prompt: Saxena 2023, "Prompt lookup decoding").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from llm_twin.serving.rows import Row

LONGEST = 3  # tokens of the end of a text that are looked for further up
SHORTEST = 2


class Guesser(Protocol):
    """What guesses for one batch. Rows are named by their place in it, as the loop over the cache does."""

    def begin(self, rows: Sequence[Row], tokens: Any, mask: Any, positions: Any) -> None:
        """Take the prompts: all three rows × width."""

    def guess(self, rows: Sequence[Row], last: list[int], mask: Any, positions: Any, count: int) -> list[list[int]]:
        """At most `count` tokens that may follow each row's last one (`last`, not in the cache yet)."""

    def keep(self, dropped: int, left: list[int] | None) -> None:
        """Forget the last `dropped` columns, and (None: none) all rows but those."""


class Lookup:
    """What followed the same words earlier in the prompt or the answer: an answer that quotes its sources does so."""

    def __init__(self) -> None:
        self.texts: list[list[int]] = []
        self.seen: list[dict[tuple[int, ...], int]] = []  # for each row: tokens → where what followed them begins

    def begin(self, rows: Sequence[Row], tokens: Any, mask: Any, positions: Any) -> None:
        """Take the prompts."""
        self.texts = [[] for _ in rows]
        self.seen = [{} for _ in rows]
        for i, row in enumerate(rows):
            self._read(i, row.tokens)

    def guess(self, rows: Sequence[Row], last: list[int], mask: Any, positions: Any, count: int) -> list[list[int]]:
        """What followed the last place where each row's end was written before."""
        found: list[list[int]] = []
        for i, row in enumerate(rows):
            text = self.texts[i]
            self._read(i, row.written[len(text) - len(row.tokens) :])
            ends = (self.seen[i].get(tuple(text[-size:])) for size in range(LONGEST, SHORTEST - 1, -1))
            at = next((end for end in ends if end is not None), None)
            found.append([] if at is None else text[at : at + count])
        return found

    def keep(self, dropped: int, left: list[int] | None) -> None:
        """Forget rows that are done."""
        if left is not None:
            self.texts, self.seen = [self.texts[i] for i in left], [self.seen[i] for i in left]

    def _read(self, i: int, tokens: Sequence[int]) -> None:
        """Add tokens to a row. The end of the text is entered once something follows it."""
        text, seen = self.texts[i], self.seen[i]
        for token in tokens:
            for size in range(SHORTEST, LONGEST + 1):
                if len(text) >= size:
                    seen[tuple(text[-size:])] = len(text)
            text.append(token)


class AlwaysPad:
    """Guesses that cost nothing: to have the step that checks guesses compiled before the first request."""

    def begin(self, rows: Sequence[Row], tokens: Any, mask: Any, positions: Any) -> None:
        """Nothing to take."""

    def guess(self, rows: Sequence[Row], last: list[int], mask: Any, positions: Any, count: int) -> list[list[int]]:
        """Token 0, again and again."""
        return [[0] * count for _ in rows]

    def keep(self, dropped: int, left: list[int] | None) -> None:
        """Nothing to forget."""


class DraftModel:
    """A smaller model of the same vocabulary writes on, greedily; its cache has the columns of the large one's."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cache: Any = None

    def begin(self, rows: Sequence[Row], tokens: Any, mask: Any, positions: Any) -> None:
        """Read the prompts."""
        self.cache = None
        self._read(tokens, mask, positions)

    def guess(self, rows: Sequence[Row], last: list[int], mask: Any, positions: Any, count: int) -> list[list[int]]:
        """What the draft model would write after each row's last token, `count` tokens of it."""
        import torch

        tokens = torch.tensor([[token] for token in last], device=mask.device)
        columns = []
        # The last token is read too, though nothing is made of it: so its column is in the cache, as in the large one.
        for step in range(count + 1):
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
            logits = self._read(tokens, mask, positions + step)
            tokens = logits[:, -1:].argmax(-1)
            columns.append(tokens)
        return [list(map(int, row)) for row in torch.cat(columns[:count], dim=-1)] if count else [[] for _ in rows]

    def keep(self, dropped: int, left: list[int] | None) -> None:
        """Crop the cache as the large one was."""
        import torch

        if dropped:
            self.cache.crop(-dropped)
        if left is not None:
            self.cache.batch_select_indices(torch.tensor(left, device=self.model.device))

    def _read(self, tokens: Any, mask: Any, positions: Any) -> Any:
        result = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = result.past_key_values
        return result.logits
