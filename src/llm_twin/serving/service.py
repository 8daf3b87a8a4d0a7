"""What one server holds: its twins, what answers for them, and whether it is ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_twin import logs
from llm_twin.documents import Answer
from llm_twin.errors import InputError
from llm_twin.serving.answering import Asked, Origin, Parts
from llm_twin.serving.asking import answer_question
from llm_twin.serving.http import Call, HttpError
from llm_twin.serving.jobs import Jobs
from llm_twin.serving.predictor_client import PredictorError
from llm_twin.serving.twins import Twin

logger = logging.getLogger("llm_twin.serving")
MAX_BODY = 2_000_000  # bytes


def origin_of(call: Call) -> Origin:
    """Where a question came from."""
    return Origin(call.request_id, call.state.get("scope", ""), call.spend)


class Service:
    """The twins of one server and what answers for them."""

    def __init__(
        self,
        twins: list[Twin],
        parts: Parts,
        state_dir: Path | None = None,
        make_model: Callable[[str], Any] = lambda name: None,
        read_texts: Callable[[list[Twin]], None] = lambda twins: None,
    ) -> None:
        self.state_dir = state_dir
        self.make_model = make_model  # KServe's model of a twin that came
        self.read_texts = read_texts  # told of twins whose texts are new to the guards
        self.spend: Callable[[str, int], None] = lambda key, tokens: None  # counts a job's tokens for its owner's key
        self.repository: Any = None  # KServe's, once the server is up
        self.jobs: Jobs | None = None
        self._worker: asyncio.Task[None] | None = None
        self.twins = {twin.name: twin for twin in twins}
        self.embedder = twins[0].embedder
        self.parts = parts
        self.waiting: dict[str, str] = {}  # twin → why it cannot be asked yet
        self.models: dict[str, Any] = {name: make_model(name) for name in self.twins}  # KServe's
        self.started = int(time.time())
        self.stopping = False
        self._told = "starting"

    def swap(self, twins: list[Twin], waiting: dict[str, str] | None = None) -> None:
        """Answer new requests with these twins and versions; those in flight end with what they began with.

        `waiting` says of which twins something is missing yet: they answer 503, and the server is not ready.
        Raises InputError where a twin's index needs another embedder than the one that is loaded.
        """
        fresh, before = {twin.name: twin for twin in twins}, self.twins
        strange = [twin.name for twin in twins if twin.embedder != self.embedder]
        if strange and self.parts.retrieve is not None:
            raise InputError(f"{', '.join(strange)}: another embedder than {self.embedder}", "start the server again")
        for name in fresh.keys() - self.models.keys():
            self.models[name] = self.make_model(name)
            if self.repository is not None:
                self.repository.update(self.models[name])
        self.twins, self.waiting = fresh, waiting or {}
        for name in before.keys() - fresh.keys():
            self._forget(before[name])
        same = fresh.keys() & before.keys()
        for name in same:
            if fresh[name].serving.guardrails != before[name].serving.guardrails:
                self.parts.forget_guards(name)
        new = [twin for name, twin in fresh.items() if name not in same or twin.index != before[name].index]
        if new:
            self.read_texts(new)

    def _forget(self, twin: Twin) -> None:
        """Let go of what was kept for a twin that went."""
        self.models.pop(twin.name, None)
        if self.repository is not None:
            self.repository.models.pop(twin.name, None)
        self.parts.forget_guards(twin.name)
        self.parts.answers.pop(twin.name, None)
        if all(other.author.id != twin.author.id for other in self.twins.values()):
            self.parts.memories.pop(twin.author.id, None)

    def find(self, name: str, call: Call) -> Twin:
        """The twin of a model name; the only twin where none is named.

        Raises HttpError 404, 503 where it cannot be asked yet, and 403 where the caller's key is not for this twin.
        """
        allowed = call.state.get("twins")  # None: all
        if not name and len(self.twins) == 1:
            name = next(iter(self.twins))
        twin = self.twins.get(name)
        call.state["model"] = twin.name if twin else ""
        if allowed is not None and name not in allowed:
            raise HttpError(403, "this key is not for that model", code="forbidden", field="model")
        if twin is None:
            raise HttpError(404, f"no model {name!r}", code="model_not_found", field="model")
        if name in self.waiting:
            raise HttpError(503, "this twin's prompts are not known yet", code="unavailable", retry_after=2)
        return twin

    def visible(self, call: Call) -> list[Twin]:
        """The twins that the caller may ask."""
        allowed = call.state.get("twins")
        return [twin for name, twin in self.twins.items() if allowed is None or name in allowed]

    async def handle(self, twin: Twin, asked: list[Asked]) -> list[Answer]:
        """The predict step of a KServe model: all questions of one request at once."""
        return list(await asyncio.gather(*(answer_question(one, twin, self.parts) for one in asked)))

    def start_work(self) -> None:
        """Begin, or go on, with the jobs that are kept; called with the first request, when the loop runs."""
        if self._worker is None and self.state_dir is not None:
            self.jobs = Jobs(self.state_dir / "jobs.db")
            self._worker = asyncio.get_running_loop().create_task(self.jobs.work(self._answer_job))

    async def _answer_job(self, model: str, question: str, request_id: str) -> dict[str, Any]:
        while model in self.waiting:
            await asyncio.sleep(1)
        logs.request_id.set(request_id)
        owner = self.jobs.owner_of(request_id.rpartition("-")[0]) if self.jobs else ""
        origin = Origin(request_id, spend=lambda tokens: self.spend(owner, tokens) if owner else None)
        asked = Asked(question, origin=origin)
        if model not in self.twins:
            raise InputError(f"the twin {model} is no longer here", "ask another")
        return (await answer_question(asked, self.twins[model], self.parts)).model_dump()

    async def problem(self) -> str:
        """Why this server is not ready; empty when it is. A change is logged, since probes are not."""
        problem = await self._look_for_problem()
        if problem != self._told:
            self._told = problem
            logger.log(
                logging.WARNING if problem else logging.INFO, "%s", f"not ready: {problem}" if problem else "ready"
            )
        return problem

    async def _look_for_problem(self) -> str:
        if self.stopping:
            return "it is stopping"
        if self.waiting:
            return f"prompts: {next(iter(self.waiting.values()))}"
        if self.parts.predictor is not None:
            try:
                await self.parts.predictor.models()
            except PredictorError as error:
                return f"predictor: {error}"
        if self.parts.retrieve is not None:
            twin = next(iter(self.twins.values()))
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self.parts.pool, self.parts.retrieve, Asked("ready", top_k=1), twin)
            except Exception as error:  # noqa: BLE001 - readiness reports whatever is wrong
                return f"index: {error}"
        return ""
