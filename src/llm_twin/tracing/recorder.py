"""Handing traces to MLflow without slowing the requests they describe.

`record` puts a trace on a bounded queue and returns (microseconds). A thread hands it to a process of its own
(`writer.py`) and waits for the word that it is written: MLflow takes seconds to import and tens of
milliseconds of Python for each trace, which in the server's own process would hold the interpreter's lock
against requests. When the queue is full the trace is dropped and counted: a slow store must never hold up an
answer.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import sys
import threading
import time

from llm_twin.tracing.records import TraceRecord

logger = logging.getLogger(__name__)

EXPERIMENT = "llm-twin-requests"
WRITTEN = "written"  # the writer's answer; anything else says why not


class TraceRecorder:
    """Writes traces in the background; counts `written`, `dropped` (queue full), `failed` (store refused)."""

    def __init__(self, tracking_uri: str, experiment: str = EXPERIMENT, capacity: int = 2000) -> None:
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        self.written = self.dropped = self.failed = 0
        self._queue: queue.Queue[TraceRecord | None] = queue.Queue(maxsize=capacity)
        self._writer: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._hand_over_all, name="trace-recorder", daemon=True)
        self._thread.start()

    def record(self, trace: TraceRecord) -> bool:
        """Hand over one trace. Returns False, and counts it, when it had to be dropped. Never blocks."""
        try:
            self._queue.put_nowait(trace)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def flush(self, timeout_seconds: float = 30) -> bool:
        """Wait until all that was handed over is written or counted. False when that took too long."""
        limit = time.monotonic() + timeout_seconds
        while self._queue.unfinished_tasks and time.monotonic() < limit:
            time.sleep(0.01)
        return not self._queue.unfinished_tasks

    def close(self, timeout_seconds: float = 30) -> None:
        """Write what is left, then end thread and process. What takes longer than the timeout is lost."""
        limit = time.monotonic() + timeout_seconds
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout_seconds)
        self._thread.join(max(limit - time.monotonic(), 0))
        if self._thread.is_alive() and self._writer is not None:
            self._writer.kill()

    def _hand_over_all(self) -> None:
        while (trace := self._queue.get()) is not None:
            reason = self._hand_over(trace)
            if reason == WRITTEN:
                self.written += 1
            else:
                self.failed += 1
                if self.failed == 1 or self.failed % 100 == 0:
                    logger.warning("%d traces could not be written, last: %s", self.failed, reason)
            self._queue.task_done()
        if self._writer is not None:
            self._stop(self._writer)
        self._queue.task_done()

    def _hand_over(self, trace: TraceRecord) -> str:
        """Give one trace to the writer (started if there is none) and return its answer."""
        try:
            if self._writer is None or self._writer.poll() is not None:
                self._writer = self._start()
            assert self._writer.stdin is not None and self._writer.stdout is not None
            self._writer.stdin.write(trace.model_dump_json() + "\n")
            self._writer.stdin.flush()
            return self._writer.stdout.readline().strip() or "the trace writer ended"
        except OSError as error:
            return f"the trace writer cannot be reached: {error}"

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "llm_twin.tracing.writer", self.tracking_uri, self.experiment]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C ends the server; the writer ends when its input does
        )

    def _stop(self, writer: subprocess.Popen[str]) -> None:
        assert writer.stdin is not None
        try:
            writer.stdin.close()
            writer.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            writer.kill()
            writer.wait()


def start_tracing(tracking_uri: str, experiment: str = EXPERIMENT, capacity: int = 2000) -> TraceRecorder:
    """Start a recorder; its writer starts when the first trace comes."""
    return TraceRecorder(tracking_uri, experiment, capacity)
