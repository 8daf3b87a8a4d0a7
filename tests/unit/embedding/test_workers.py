"""Batches run side by side on threads of one core each, and a forked child has threads of its own."""

from __future__ import annotations

import os
import threading

import torch

from llm_twin.embedding import workers


def test_work_runs_side_by_side() -> None:
    together = threading.Barrier(workers.count_cores(), timeout=20)
    waiting = [workers.submit(together.wait) for _ in range(workers.count_cores())]
    assert sorted(one.result(30) for one in waiting) == list(range(workers.count_cores()))


def test_workers_compute_on_one_thread_and_others_keep_theirs() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert workers.submit(torch.get_num_threads).result(30) == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_forked_child_can_embed_too() -> None:
    workers.submit(int).result(30)
    child = os.fork()
    if child == 0:
        os._exit(workers.submit(lambda: 7).result(20))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
