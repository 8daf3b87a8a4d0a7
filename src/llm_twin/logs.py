"""Logs as JSON lines on stderr, with the id of the request on each line, through every hop.

A line says what happened, never what was asked or answered, and no secret: of an exception that is not our own only
its type and where it was raised are written, since its text may quote a body.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

import orjson

from llm_twin.errors import TwinError

REQUEST_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")  # what a caller may choose
LEVEL = "LLM_TWIN_LOG_LEVEL"
FRAMES = 12  # of an exception's stack, the innermost
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
_SECRETS = re.compile(r"twin_[0-9a-f]{8}_[\w-]+|(?i:bearer) +\S+|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, process, logger, request_id, message, and the record's `fields`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        return self.encode(record).decode()

    def encode(self, record: logging.LogRecord) -> bytes:
        """The line, without its end."""
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = describe_error(record.exc_info[1])
        known = getattr(record, "request_id", "") or request_id.get()
        message = _SECRETS.sub("…", record.getMessage())
        return self.write(record.created, record.levelno, record.name, message, known, fields)

    def write(self, created: float, level: int, logger: str, message: str, known: str, fields: dict[str, Any]) -> bytes:
        """The line of what happened at `created` (seconds since 1970)."""
        second = int(created)
        line: dict[str, Any] = {
            "time": f"{_second(second)}.{int((created - second) * 1000):03d}Z",
            "level": logging.getLevelName(level).lower(),
            "process": self.process,
            "logger": logger,
            "message": message,
        }
        if known:
            line["request_id"] = known
        line.update(fields)
        return orjson.dumps(line, default=str)


class _Lines(logging.Handler):
    """Writes a line with one call to the system: buffers of Python's are no use where each line is flushed."""

    def __init__(self, formatter: JsonLines, descriptor: int) -> None:
        super().__init__()
        self.lines, self.descriptor = formatter, descriptor

    def emit(self, record: logging.LogRecord) -> None:
        if sys.is_finalizing():  # objects that find out late that nobody closed them
            return
        try:
            self.put(self.lines.encode(record))
        except Exception:  # noqa: BLE001 - as logging's own handlers: a log that fails must not fail a request
            self.handleError(record)

    def put(self, line: bytes) -> None:
        """Write one line."""
        os.write(self.descriptor, line + b"\n")


def event(logger: logging.Logger, message: str, level: int = logging.INFO, known: str = "", **fields: Any) -> None:
    """Log a fixed message with fields: what `logger.log` does, without the search for the calling line and a record of
    it, which take most of its time. For what happens with every request."""
    if not logger.isEnabledFor(level):
        return
    root = logging.getLogger()
    handler = root.handlers[0] if root.handlers else None
    if not isinstance(handler, _Lines):  # another program's logging, or a test's
        logger.log(level, message, extra={"fields": fields, "request_id": known})
        return
    with contextlib.suppress(OSError):  # a log that is gone must not fail a request
        known = known or request_id.get()
        handler.put(handler.lines.write(time.time(), level, logger.name, message, known, fields))


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))


def describe_error(error: BaseException) -> dict[str, Any]:
    """An exception's type and frames (`file:line function`), innermost last; its text only where it is ours."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    described: dict[str, Any] = {
        "type": type(error).__name__,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(error, TwinError):
        described["message"] = _SECRETS.sub("…", error.message)
    return described


def start_logging(process: str) -> None:
    """Log from here on as JSON lines: ours from LLM_TWIN_LOG_LEVEL (INFO), other libraries' from WARNING."""
    root = logging.getLogger()
    root.handlers[:] = [_Lines(JsonLines(process), sys.stderr.fileno())]  # KServe leaves logging alone then
    root.setLevel(logging.WARNING)
    chosen = logging.getLevelNamesMapping().get(os.environ.get(LEVEL, "").upper(), logging.INFO)
    logging.getLogger("llm_twin").setLevel(chosen)
    logging.captureWarnings(True)


class ContextPool(ThreadPoolExecutor):
    """A thread pool whose threads log with the id of the request that they work for."""

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Schedule `fn` in a copy of the caller's context."""
        context = contextvars.copy_context()
        return super().submit(lambda: context.run(fn, *args, **kwargs))
