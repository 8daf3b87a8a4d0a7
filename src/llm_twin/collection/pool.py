"""Extraction over all cores: small runs stay in this process, large ones get workers."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from types import TracebackType

from llm_twin.collection.conversion import Converted, convert
from llm_twin.collection.records import Found

# A worker takes about two seconds to start: below this many pages they cost more than they bring.
PAGES_BEFORE_WORKERS = 40
HEAVY_MEDIA = ("html",)


class ExtractionPool:
    """A context manager; `convert` is awaited, and done wherever it is cheapest."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers if workers is not None else len(os.sched_getaffinity(0))
        self.done = 0
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
        self.done += found.media in HEAVY_MEDIA
        use_workers = found.media in HEAVY_MEDIA and self.done > PAGES_BEFORE_WORKERS and self.workers > 1
        executor = self._workers() if use_workers else self.thread
        return await asyncio.get_running_loop().run_in_executor(executor, convert, found)

    def _workers(self) -> ProcessPoolExecutor:
        if self.processes is None:
            # Threads run already (the driver's, ours): a fork could copy a lock that nobody opens again.
            context = multiprocessing.get_context("spawn")
            self.processes = ProcessPoolExecutor(self.workers, mp_context=context)
        return self.processes
