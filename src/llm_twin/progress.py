"""Progress of long loops, as plain lines that a terminal, a pod's log and the command line's display all can use."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

PREFIX = "[progress]"


def report(message: str) -> None:
    """Print one progress line at once."""
    print(f"{PREFIX} {message}", file=sys.stdout, flush=True)


def track(items: Iterable[Item], what: str, total: int | None = None, every_seconds: float = 1.0) -> Iterator[Item]:
    """Yield `items`, reporting how many are done, how many there are, and the time left, about once a second."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    begun = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every_seconds:
            last = now
            report(_line(what, done, total, now - begun))
    if done and time.monotonic() - begun >= every_seconds:
        report(_line(what, done, total, time.monotonic() - begun))


def _line(what: str, done: int, total: int | None, seconds: float) -> str:
    if not total:
        return f"{what}: {done:,} in {seconds:.0f} s"
    left = seconds / done * max(total - done, 0)
    return f"{what}: {done:,}/{total:,} ({done / total:.0%}), {left:.0f} s left"
