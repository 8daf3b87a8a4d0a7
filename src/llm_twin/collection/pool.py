"""Extraction over all cores: small runs stay in this process, large ones get workers."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from llm_twin.collection.conversion import Converted, convert
from llm_twin.collection.records import Found, ItemError

# A worker takes about two seconds to start: below this many pages they cost more than they bring.
PAGES_BEFORE_WORKERS = 40
HEAVY_MEDIA = ("html",)

# Threads run already (the driver's, ours): a fork could copy a lock that nobody opens again.
_CONTEXT = multiprocessing.get_context("spawn")

P = ParamSpec("P")
T = TypeVar("T")


class ExtractionPool:
    """A context manager; `run` and `convert` are awaited, and done wherever it is cheapest.

    `expected_pages` above PAGES_BEFORE_WORKERS starts the workers at once.
    """

    def __init__(self, workers: int | None = None, expected_pages: int = 0) -> None:
        self.workers = workers if workers is not None else len(os.sched_getaffinity(0))
        self.pages = PAGES_BEFORE_WORKERS if expected_pages > PAGES_BEFORE_WORKERS else 0
        self.thread: Executor = ThreadPoolExecutor(1, "extraction")
        self.processes: ProcessPoolExecutor | None = None

    def __enter__(self) -> ExtractionPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.thread.shutdown(cancel_futures=True)
        if self.processes is not None:
            self.processes.shutdown(cancel_futures=True)

    async def convert(self, found: Found) -> Converted:
        """The text and fields of a found thing; raises what `conversion.convert` raises."""
        if found.media in HEAVY_MEDIA:
            return await self.run(convert, found)
        return await asyncio.get_running_loop().run_in_executor(self.thread, convert, found)

    async def run(self, read_page: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """The result of work on one page; function and arguments must be picklable.

        Raises ItemError for a page that ends its process (a crash in a parser's C code, no memory left); the others
        that were under way in the same pool are done again.
        """
        self.pages += 1
        executor = self._workers() if self.pages > PAGES_BEFORE_WORKERS and self.workers > 1 else self.thread
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, read_page, *arguments)
        except BrokenProcessPool:
            if executor is self.processes:
                self.processes = None
            return await asyncio.get_running_loop().run_in_executor(
                self.thread, partial(_run_alone, read_page, *arguments)
            )

    def _workers(self) -> ProcessPoolExecutor:
        if self.processes is None:
            self.processes = ProcessPoolExecutor(self.workers, mp_context=_CONTEXT)
        return self.processes


def _run_alone(read_page: Callable[..., T], *arguments: Any) -> T:
    """The result of work on one page, in a process of its own."""
    try:
        with ProcessPoolExecutor(1, mp_context=_CONTEXT) as alone:
            return alone.submit(read_page, *arguments).result()
    except BrokenProcessPool as error:
        name = next((str(getattr(one, "url", one)) for one in arguments if not isinstance(one, bytes)), "a page")
        raise ItemError(name, "crashed", "reading it ends its process") from error
