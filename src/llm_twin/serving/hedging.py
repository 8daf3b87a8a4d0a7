"""A second request to the predictor where the first one takes longer than nearly all did before it.

What an answer takes has a long tail: a replica that restarts, a queue behind a long prompt. Asking again once the
usual time is over, and taking what comes first, cuts that tail off; the budget keeps a predictor that is slow for all
from getting twice the load (Dean and Barroso 2013, "The tail at scale").
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llm_twin.recipe_serving import HedgingRecipe
from llm_twin.serving.metrics import HEDGES

Value = TypeVar("Value")
RECENT = 200  # requests whose times say what is usual
ENOUGH = 20  # of them, before any request is sent twice
SAVED = 10.0  # second requests that a quiet time may save up for a bad one


@dataclass
class Hedger:
    """The times of recent requests to one predictor, and how many second ones may still be sent."""

    clock: Callable[[], float] = time.monotonic
    times: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))  # seconds
    allowance: float = 0.0

    def delay(self, recipe: HedgingRecipe) -> float | None:
        """Seconds after which a request is sent again; None while too few were seen."""
        if recipe.after_seconds > 0:
            return recipe.after_seconds
        if len(self.times) < ENOUGH:
            return None
        return sorted(self.times)[min(len(self.times) - 1, int(recipe.percentile * len(self.times)))]

    async def first(
        self,
        send: Callable[[], Coroutine[Any, Any, Value]],
        discard: Callable[[Value], Awaitable[object]],
        recipe: HedgingRecipe,
    ) -> Value:
        """What `send()` gives; sent again after the delay where the budget allows it, and the first answer counts.

        The other request is cancelled; should it have been answered in the same moment, `discard` gets that answer.
        A request that fails leaves the other to be waited for; where both fail the first one's error is raised.
        """
        self.allowance = min(SAVED, self.allowance + recipe.budget)
        begun = {asyncio.ensure_future(send()): self.clock()}
        try:
            done, _ = await asyncio.wait(begun, timeout=self.delay(recipe))
            if not done and self.allowance >= 1:
                self.allowance -= 1
                begun[asyncio.ensure_future(send())] = self.clock()
            return await self._take(begun, discard)
        finally:
            for request in begun:
                request.cancel()

    async def _take(
        self, begun: dict[asyncio.Task[Value], float], discard: Callable[[Value], Awaitable[object]]
    ) -> Value:
        requests = list(begun)
        while waiting := [one for one in requests if not one.done()]:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(one.done() and one.exception() is None for one in requests):
                break
        good = [one for one in requests if one.done() and one.exception() is None]
        if len(requests) > 1:
            HEDGES.labels("failed" if not good else "first" if good[0] is requests[0] else "second").inc()
        if not good:
            raise requests[0].exception() or AssertionError("a request failed without an error")
        for late in good[1:]:
            await discard(late.result())
        # A request that is cut off here would have taken this long at least.
        self.times.extend(self.clock() - begun[one] for one in requests if one is good[0] or not one.done())
        return good[0].result()
