"""Do the next piece of work while the last one is being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
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


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], depth: int = DEPTH
) -> Iterator[tuple[Item, Result]]:
    """Each item with what `work` makes of it, in order; `depth` of them are worked on at once."""
    with ThreadPoolExecutor(depth, "ahead") as threads:
        waiting: deque[tuple[Item, Future[Result]]] = deque()
        try:
            for item in items:
                waiting.append((item, threads.submit(work, item)))
                if len(waiting) > depth:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
