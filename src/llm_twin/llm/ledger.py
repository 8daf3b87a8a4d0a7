"""What asking has cost: requests, tokens, money, failures by kind; and the budget that stops a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from llm_twin.errors import BudgetError

CHARACTERS_PER_TOKEN = 3  # a cautious guess for the reservation; the server's own count settles it


@dataclass
class Ledger:
    """Counts of one run. Prices are for a million tokens; a budget of 0 is no limit."""

    price_in: float = 0.0
    price_out: float = 0.0
    max_total_tokens: int = 0
    max_cost: float = 0.0
    requests: int = 0  # sent over the network, repeats included
    tokens_in: int = 0
    tokens_out: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # how each question ended
    retries: Counter[str] = field(default_factory=Counter)  # why a request was sent again
    _reserved_in: int = 0
    _reserved_out: int = 0

    @property
    def cost(self) -> float:
        """Money spent so far."""
        return self._price(self.tokens_in, self.tokens_out)

    def reserve(self, characters: int, max_tokens: int) -> tuple[int, int]:
        """Set aside what a request may cost at most. Raises BudgetError when that is over the budget.

        Reserving before sending is what keeps many requests in flight from overrunning the budget together.
        """
        tokens_in, tokens_out = characters // CHARACTERS_PER_TOKEN + 16, max_tokens
        whole_in = self.tokens_in + self._reserved_in + tokens_in
        whole_out = self.tokens_out + self._reserved_out + tokens_out
        if self.max_total_tokens and whole_in + whole_out > self.max_total_tokens:
            raise BudgetError(
                f"the next request could take the run over its {self.max_total_tokens:,} tokens "
                f"({self.tokens_in + self.tokens_out:,} used)",
                "raise llm.max_total_tokens; what was answered is cached and not asked again",
            )
        if self.max_cost and self._price(whole_in, whole_out) > self.max_cost:
            raise BudgetError(
                f"the next request could take the run over its budget of {self.max_cost:g} ({self.cost:.4f} spent)",
                "raise llm.max_cost; what was answered is cached and not asked again",
            )
        self._reserved_in += tokens_in
        self._reserved_out += tokens_out
        return tokens_in, tokens_out

    def settle(self, reserved: tuple[int, int], tokens_in: int, tokens_out: int) -> None:
        """Replace a reservation by what the request did cost."""
        self._reserved_in -= reserved[0]
        self._reserved_out -= reserved[1]
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out

    def summarise(self) -> dict[str, Any]:
        """The counts as JSON."""
        return {
            "requests": self.requests,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost": round(self.cost, 6),
            "outcomes": dict(sorted(self.outcomes.items())),
            "retries": dict(sorted(self.retries.items())),
        }

    def _price(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6
