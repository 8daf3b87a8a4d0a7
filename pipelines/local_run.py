"""Run a pipeline on this machine with kfp.local, and tell a person what it is doing.

kfp.local prints its own log and its steps' output to stdout. We take that text, keep it all in the run's log file,
and read from it which step runs, whether it came from the cache, how far it is, and why it failed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import psutil

from llm_twin import errors
from llm_twin.errors import TwinError
from llm_twin.progress import PREFIX

ANSI = re.compile(r"\x1b\[[0-9;]*m")
BEGUN = re.compile(r"Executing task '([\w-]+)'")
ENDED = re.compile(r"Task '([\w-]+)' finished with status (SUCCESS|FAILURE)")
CACHED = re.compile(r"Task ([\w-]+) cache hit")
PYTHON = re.compile(r"(?<![\w./-])python3(?![\w./-])")
NAMED_ERROR = re.compile(r"^\s*(?:[\w.]*\.)?(\w*(?:Error|Exception|Interrupt|Exit))(?:: (.*))?$")


class StepFailed(TwinError):
    """A step of a local run failed; says which, why, and where the log is."""


@dataclass
class StepResult:
    """One step of a local run."""

    name: str
    seconds: float = 0.0
    status: str = "running"  # running, ran, cached, failed
    last_progress: str = ""
    error: str = ""  # the last error that it named
    begun: float = field(default_factory=time.monotonic)


@dataclass
class RunResult:
    """A finished local run: its steps in order, and the pipeline's outputs (parameters, artifacts)."""

    steps: list[StepResult]
    outputs: dict[str, Any]
    seconds: float
    log: Path


Listener = Callable[[str, StepResult], None]  # event: begun, progress, ended


@dataclass
class LogReader(io.TextIOBase):
    """A stdout for kfp.local: everything goes to the log file; events go to `listen`.

    Steps that run side by side are each written by a thread of their own, which says whose a line is.
    """

    log: TextIO
    listen: Listener
    steps: list[StepResult] = field(default_factory=list)
    _partial: dict[int, str] = field(default_factory=dict)  # thread → the line that it has begun
    _running: dict[int, StepResult] = field(default_factory=dict)  # thread → the step that it runs
    _lock: Any = field(default_factory=threading.RLock)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Take what kfp.local prints; whole lines are read for events."""
        thread = threading.get_ident()
        *lines, self._partial[thread] = (self._partial.get(thread, "") + text).split("\n")
        with self._lock:
            for line in lines:
                self._read(ANSI.sub("", line), thread)
        return len(text)

    def flush(self) -> None:
        self.log.flush()

    def _read(self, line: str, thread: int) -> None:
        self.log.write(line + "\n")
        step = self._running.get(thread)
        if found := BEGUN.search(line):
            self._begin(StepResult(found[1]), thread, "begun")
        elif found := CACHED.search(line):
            self._begin(StepResult(found[1], status="cached"), thread, "ended")
        elif step is None:
            return
        elif PREFIX in line:
            step.last_progress = line.split(PREFIX, 1)[1].strip()
            self.listen("progress", step)
        elif found := ENDED.search(line):
            step.seconds = time.monotonic() - step.begun
            step.status = "ran" if found[2] == "SUCCESS" else "failed"
            self.listen("ended", step)
        elif found := NAMED_ERROR.match(line):
            step.error = f"{found[1]}: {found[2]}" if found[2] else found[1]

    def _begin(self, step: StepResult, thread: int, event: str) -> None:
        self._running[thread] = step
        self.steps.append(step)
        self.listen(event, step)


def run_local(
    pipeline: Any, arguments: dict[str, Any], artifacts: Path, cache: Path, log: Path, listen: Listener
) -> RunResult:
    """Run `pipeline` with kfp.local, steps as processes of this interpreter, results cached.

    Raises StepFailed for a step that failed (the next run goes on from there). Ctrl-C and SIGTERM end the running
    step and all it started.
    """
    from kfp import local

    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log.open("w", encoding="utf-8") as file, _ended_children(), _logging_at_info(), _kept_arguments():
        reader = LogReader(file, listen)
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(artifacts / "runs"),
            workspace_root=str(artifacts / "workspace"),
            enable_caching=True,
            cache_root=str(cache / "kfp"),
        )
        try:
            with contextlib.redirect_stdout(reader), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # resource settings mean nothing here, and kfp says so for each task
                task = pipeline(**arguments)
        except RuntimeError as error:
            failed = next((step for step in reader.steps if step.status == "failed"), None)
            if failed is None:
                raise
            raise _explain(failed, log) from error
    outputs = dict(task.outputs)
    return RunResult(reader.steps, outputs, time.monotonic() - begun, log)


def _explain(step: StepResult, log: Path) -> StepFailed:
    """The error that a failed step ended with, with the exit code of its class where it is one of ours."""
    name, _, text = step.error.partition(": ")
    ours = getattr(errors, name, None)
    message, _, remedy = (text if ours else step.error or "it ended without saying why").partition(" → ")
    again = f"then run the same command again, it goes on from there; log: {log}"
    failure = StepFailed(f"step {step.name} failed: {message}", f"{remedy}; {again}" if remedy else again)
    failure.exit_code = ours.exit_code if ours else 1
    return failure


@contextlib.contextmanager
def _kept_arguments() -> Iterator[None]:
    """Keep a step's arguments as they are.

    kfp.local puts the interpreter's path in for every "python3" in a step's command, its arguments included: a path
    such as lib/python3.11/site-packages/... would arrive broken. Here only the word is replaced, and only in the
    commands that stand before the step's code.
    """
    from kfp.local import subprocess_task_handler as handler

    def replace(full_command: list[str], new_executable: str) -> list[str]:
        starts = [n for n, part in enumerate(full_command) if '"$program_path/ephemeral_component.py"' in part]
        code = starts[0] + 1 if starts else len(full_command)
        named = [PYTHON.sub(lambda _: new_executable, part) for part in full_command[:code]]
        return named + full_command[code:]

    kept = handler.replace_python_executable
    handler.replace_python_executable = replace
    try:
        yield
    finally:
        handler.replace_python_executable = kept


@contextlib.contextmanager
def _logging_at_info() -> Iterator[None]:
    """Let kfp.local's notes about cache hits through (it logs them outside of its own logging context)."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers[:] = [_StdoutHandler()]
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


class _StdoutHandler(logging.Handler):
    """Writes to whatever sys.stdout is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")


@contextlib.contextmanager
def _ended_children() -> Iterator[None]:
    """End the running step, and whatever it started, when we are interrupted or told to stop."""
    before = {child.pid for child in psutil.Process().children()}

    def interrupt(number: int, frame: FrameType | None) -> None:
        _end_children(before)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _end_children(before)


def _end_children(spared: set[int]) -> None:
    mine = [child for child in psutil.Process().children() if child.pid not in spared]
    family = [relative for child in mine for relative in (*child.children(recursive=True), child)]
    for process in family:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
