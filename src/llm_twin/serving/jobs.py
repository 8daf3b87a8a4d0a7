"""Long work: jobs of many questions, kept in SQLite, so that they survive a restart.

A job's questions are answered one after another, each answer written before the next is asked; after a
crash the job goes on with the first question that has no answer (at least once: the one under way may be
asked again). The same idempotency key with the same body gives the same job, not a second one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from llm_twin.serving.chat_models import MAX_CHARACTERS, Body
from llm_twin.serving.http import HttpError

logger = logging.getLogger("llm_twin.serving")
MAX_WAITING = 1000  # jobs of all callers

Question = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]

_SCHEMA = """
create table if not exists jobs (
    id text primary key, owner text not null, idempotency_key text, model text not null, questions text not
    null, status text not null, created real not null, updated real not null, error text not null default
    '', unique (owner, idempotency_key)
);
create table if not exists answers (
    job text not null references jobs (id) on delete cascade, position integer not null, answer text not null,
    primary key (job, position)
);
create index if not exists by_status on jobs (status, created);
"""


class JobRequest(Body):
    """POST /jobs: questions to be answered in the background."""

    model: str = Field(default="", max_length=200)
    questions: list[Question] = Field(min_length=1, max_length=10_000)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)


class Jobs:
    """The jobs of one server, in one file."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.database = sqlite3.connect(path, timeout=10, isolation_level=None)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma foreign_keys = on")
        self.database.executescript(_SCHEMA)
        self.database.execute("update jobs set status = 'queued' where status = 'running'")  # a crash left them
        self._wake = asyncio.Event()

    def submit(self, owner: str, model: str, request: JobRequest) -> dict[str, Any]:
        """Keep a job; the same idempotency key gives the same job. Raises HttpError 409 if its body
        differs."""
        questions = json.dumps(request.questions, ensure_ascii=False)
        known = self.database.execute(
            "select id, questions, model from jobs where owner = ? and idempotency_key = ?",
            (owner, request.idempotency_key),
        ).fetchone()
        if known is not None:
            if (known[1], known[2]) != (questions, model):
                raise HttpError(409, "this idempotency_key was used for another job", field="idempotency_key")
            return self.describe(owner, known[0])
        waiting = self.database.execute("select count(*) from jobs where status in ('queued', 'running')").fetchone()[0]
        if waiting >= MAX_WAITING:
            raise HttpError(503, "too many jobs are waiting", code="overloaded", retry_after=60)
        job, now = uuid.uuid4().hex, time.time()
        self.database.execute(
            "insert into jobs (id, owner, idempotency_key, model, questions, status, created, updated)"
            " values (?, ?, ?, ?, ?, 'queued', ?, ?)",
            (job, owner, request.idempotency_key, model, questions, now, now),
        )
        self._wake.set()
        return self.describe(owner, job)

    def describe(self, owner: str, job: str) -> dict[str, Any]:
        """A job's state. Raises HttpError 404 for an unknown job and for another's alike."""
        row = self.database.execute(
            "select id, model, status, created, updated, error, json_array_length(questions),"
            " (select count(*) from answers where job = jobs.id) from jobs where id = ? and owner = ?",
            (job, owner),
        ).fetchone()
        if row is None:
            raise HttpError(404, "no such job", code="not_found")
        names = ("id", "model", "status", "created", "updated", "error", "questions", "answered")
        return dict(zip(names, row, strict=True))

    def owner_of(self, job: str) -> str:
        """Whose job it is: the id of an access key, or the empty string."""
        row = self.database.execute("select owner from jobs where id = ?", (job,)).fetchone()
        return str(row[0]) if row else ""

    def results(self, owner: str, job: str) -> dict[str, Any]:
        """A job's state with its answers so far, in the order of the questions."""
        state = self.describe(owner, job)
        rows = self.database.execute("select answer from answers where job = ? order by position", (job,))
        return {**state, "answers": [json.loads(row[0]) for row in rows]}

    def cancel(self, owner: str, job: str) -> dict[str, Any]:
        """Stop a job; what was answered stays."""
        self.describe(owner, job)
        self.database.execute(
            "update jobs set status = 'cancelled', updated = ? where id = ? and status in ('queued', 'running')",
            (time.time(), job),
        )
        return self.describe(owner, job)

    async def work(self, answer: Callable[[str, str, str], Awaitable[dict[str, Any]]]) -> None:
        """Answer jobs, oldest first, for ever. `answer(model, question, request id)` gives the answer's
        JSON."""
        while True:
            row = self.database.execute(
                "select id, model, questions from jobs where status = 'queued' order by created limit 1"
            ).fetchone()
            if row is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._work_on(row[0], row[1], json.loads(row[2]), answer)

    async def _work_on(self, job: str, model: str, questions: list[str], answer: Any) -> None:
        self._set(job, "running", only="queued")
        done = {row[0] for row in self.database.execute("select position from answers where job = ?", (job,))}
        for position, question in enumerate(questions):
            if position in done:
                continue
            status = self.database.execute("select status from jobs where id = ?", (job,)).fetchone()[0]
            if status != "running":
                return
            try:
                said = await answer(model, question, f"{job}-{position}")
            except Exception as error:  # noqa: BLE001 - one question must not end the worker; the job says why
                logger.warning("job %s, question %d: %s", job, position, type(error).__name__)
                said = {"question": question, "error": str(error)[:500]}
            self.database.execute(
                "insert or replace into answers values (?, ?, ?)", (job, position, json.dumps(said, ensure_ascii=False))
            )
        self._set(job, "done", only="running")

    def _set(self, job: str, status: str, only: str) -> None:
        self.database.execute(
            "update jobs set status = ?, updated = ? where id = ? and status = ?", (status, time.time(), job, only)
        )
