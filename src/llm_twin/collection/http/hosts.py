"""What the crawler keeps of each host: its pace, its robots.txt, and whether it answers at all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from protego import Protego

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 10.0
MAX_CRAWL_DELAY_SECONDS = 10.0
CONCURRENT_REQUESTS = 8


@dataclass
class Host:
    """One host's pace (a reservation of time slots), circuit breaker and rules."""

    seconds_between: float
    next_slot: float = 0.0
    failures: int = 0
    open_until: float = 0.0
    robots: Protego | None = None
    robots_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENT_REQUESTS))

    async def wait_turn(self) -> None:
        """Wait until this host may be asked again."""
        now = time.monotonic()
        slot = max(now, self.next_slot)
        self.next_slot = slot + self.seconds_between
        if slot > now:
            await asyncio.sleep(slot - now)

    def hold_back(self, seconds: float) -> None:
        """The host asked for quiet: nobody asks before then."""
        self.next_slot = max(self.next_slot, time.monotonic() + seconds)

    def slow_to(self, crawl_delay: float | None) -> None:
        """Obey a Crawl-delay, up to ten seconds."""
        if crawl_delay:
            self.seconds_between = max(self.seconds_between, min(crawl_delay, MAX_CRAWL_DELAY_SECONDS))

    def is_open(self) -> bool:
        """Whether the breaker is open: the host failed so often that asking it is a waste of both sides' time."""
        return time.monotonic() < self.open_until

    def note_success(self) -> None:
        """An answer, whatever it says, closes the breaker."""
        self.failures = 0
        self.open_until = 0.0

    def note_failure(self) -> None:
        """No answer, or a server error after every retry."""
        self.failures += 1
        if self.failures >= FAILURES_TO_OPEN:
            self.open_until = time.monotonic() + OPEN_SECONDS
            self.failures = FAILURES_TO_OPEN - 2  # half open afterwards: two more in a row open it again
