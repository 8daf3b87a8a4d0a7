"""Do the next piece of work while the last one is being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
DEPTH = 2
_END = object()


def read_ahead(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """The same items in order, up to `depth` of them made ahead on one thread of their own.

    An error of `items` is raised here, where its item would have come. Left early, it waits for what is under way.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, "ahead") as thread:
        waiting = deque(thread.submit(next, iterator, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, iterator, _END))
                yield item  # type: ignore[misc]  # _END is the only other thing that comes
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
