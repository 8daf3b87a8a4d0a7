"""Threads that embed, one batch each, every one of them with a single thread of computation.

Batches side by side beat one batch spread over the cores: no thread waits for another at the end of each layer. And
where other work has a core, a batch takes longer, instead of spinning at a barrier that never comes (measured on two
busy cores: one query took 8 ms on one thread, 100 to 470 ms on two).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
_pool: ThreadPoolExecutor | None = None
_here = threading.local()


def submit(work: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Run `work` on one of this process's embedding threads, as many as there are cores."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(count_cores(), "embed")
    return _pool.submit(_run, work, arguments)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(work: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    if "torch" in sys.modules and not hasattr(_here, "limit"):  # an endpoint's encoder needs no torch
        _use_one_thread()
    return work(*arguments)


def _use_one_thread() -> None:
    """Limit OpenMP in the calling thread only: other threads, such as one that trains, keep all cores."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.get_num_threads()  # torch sets the thread's limit at its first use, and must not do so after us
    _here.limit = threadpool_limits(limits=1, user_api="openmp")


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
