"""Ask a language model many things at once, and get for each an object or the reason why not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from llm_twin.errors import ServiceError
from llm_twin.llm.cache import ReplyCache
from llm_twin.llm.ledger import Ledger
from llm_twin.llm.structured import ReplyProblem, parse_reply, strict_schema
from llm_twin.progress import report
from llm_twin.prompts import render_prompt
from llm_twin.recipes import LlmRecipe

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Reply = TypeVar("Reply", bound=BaseModel)
FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 30.0
REFUSED = frozenset({401, 403, 404})  # no other question would fare better


@dataclass(frozen=True)
class Request:
    """One question: the user's message, and the system's if any.

    `again` tells the same question asked more than once apart: each number has its own reply, in the cache too.
    """

    prompt: str
    system: str = ""
    again: int = 0


@dataclass(frozen=True)
class Outcome(Generic[Reply]):
    """How one question ended: a value, or the kind of failure and its message."""

    value: Reply | None
    failure: str = ""
    detail: str = ""
    cached: bool = False


class LlmClient:
    """A model at an OpenAI-compatible URL, with the bounds of a recipe. One ledger for all that it is asked."""

    def __init__(
        self, base_url: str, model: str, recipe: LlmRecipe, api_key: str = "", cache: ReplyCache | None = None
    ) -> None:
        self.base_url = base_url
        self.model = model
        self.recipe = recipe
        self.ledger = Ledger(recipe.price_in, recipe.price_out, recipe.max_total_tokens, recipe.max_cost)
        self._api_key = api_key or "none"
        self._cache = cache
        self._schema_accepted = True

    def ask_all(
        self, requests: Sequence[Request], reply_type: type[Reply], what: str = "asking the model"
    ) -> list[Outcome[Reply]]:
        """Ask all, at most `concurrency` at a time; outcomes in the order of the requests.

        A question that fails for itself is an Outcome with its failure: "timeout", "rate limit", "server error",
        "refused", "empty", "broken JSON" or "wrong fields". Raises BudgetError when the budget is used up, and
        ServiceError when the server refuses every question alike or cannot be reached at all.
        """
        return asyncio.run(self._ask_all(requests, reply_type, what))

    async def ask(self, request: Request, reply_type: type[Reply]) -> Outcome[Reply]:
        """One question, from inside a running event loop; ends and raises as in `ask_all`."""
        from openai import AsyncOpenAI

        async with AsyncOpenAI(
            base_url=self.base_url, api_key=self._api_key, timeout=self.recipe.timeout_seconds, max_retries=0
        ) as server:
            outcome = await self._ask(server, request, reply_type)
        self.ledger.outcomes["cached" if outcome.cached else outcome.failure or "answered"] += 1
        return outcome

    async def _ask_all(self, requests: Sequence[Request], reply_type: type[Reply], what: str) -> list[Outcome[Reply]]:
        from openai import AsyncOpenAI

        outcomes: list[Outcome[Reply] | None] = [None] * len(requests)
        left = iter(range(len(requests)))
        done = 0

        async def work(server: AsyncOpenAI) -> None:
            nonlocal done
            for position in left:
                outcome = await self._ask(server, requests[position], reply_type)
                outcomes[position] = outcome
                self.ledger.outcomes["cached" if outcome.cached else outcome.failure or "answered"] += 1
                done += 1
                if done % 100 == 0:
                    report(f"{what}: {done:,}/{len(requests):,}")

        async with AsyncOpenAI(
            base_url=self.base_url, api_key=self._api_key, timeout=self.recipe.timeout_seconds, max_retries=0
        ) as server:
            workers = [asyncio.create_task(work(server)) for _ in range(min(self.recipe.concurrency, len(requests)))]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _ask(self, server: AsyncOpenAI, request: Request, reply_type: type[Reply]) -> Outcome[Reply]:
        """One question: from the cache, or from the server, with one repair of a reply that does not fit."""
        messages = [{"role": "user", "content": request.prompt}]
        if request.system:
            messages.insert(0, {"role": "system", "content": request.system})
        question = {
            "url": self.base_url, "model": self.model, "messages": messages, "max_tokens": self.recipe.max_tokens,
            "temperature": self.recipe.temperature, "schema": reply_type.model_json_schema(),
        }  # fmt: skip
        key = ReplyCache.key(question | {"again": request.again} if request.again else question)
        known = self._cache.get(key) if self._cache else None
        if known is not None:
            return Outcome(parse_reply(known, reply_type), cached=True)
        problem: ReplyProblem | None = None
        for _ in range(2):
            text, failure, detail = await self._send(server, messages, reply_type)
            if failure:
                return Outcome(None, failure, detail)
            try:
                value = parse_reply(text, reply_type)
            except ReplyProblem as found:
                problem = found
                self.ledger.retries[f"repair: {found.kind}"] += 1
                repair = render_prompt("repair_reply", problem=str(found), schema=reply_type.model_json_schema())
                messages = [*messages, *([{"role": "assistant", "content": text}] if text.strip() else [])]
                messages.append({"role": "user", "content": repair})
                continue
            if self._cache:
                self._cache.put(key, value.model_dump_json())
            return Outcome(value)
        assert problem is not None
        return Outcome(None, problem.kind, str(problem))

    async def _send(
        self, server: AsyncOpenAI, messages: list[dict[str, str]], reply_type: type[BaseModel]
    ) -> tuple[str, str, str]:
        """Send until there is an answer or the retries are used up: (text, failure, detail)."""
        import openai

        failure, detail = "", ""
        for attempt in range(self.recipe.retries + 1):
            if attempt:
                self.ledger.retries[failure] += 1
            reserved = self.ledger.reserve(sum(len(m["content"]) for m in messages), self.recipe.max_tokens)
            spent = (0, 0)
            wait = 0.0
            try:
                self.ledger.requests += 1
                text, spent = await self._complete(server, messages, reply_type)
                return text, "", ""
            except openai.APITimeoutError as error:
                failure, detail = "timeout", str(error)
            except openai.APIConnectionError as error:
                failure, detail = "unreachable", str(error.__cause__ or error)
            except openai.RateLimitError as error:
                failure, detail = "rate limit", error.message
                wait = _asked_wait(error.response.headers.get("retry-after", ""))
            except openai.InternalServerError as error:
                failure, detail = "server error", error.message
            except openai.APIStatusError as error:
                if error.status_code in REFUSED:
                    raise ServiceError(
                        f"{self.base_url} refuses model {self.model!r}: {error.status_code} {error.message}",
                        "check LLM_TWIN_LLM_BASE_URL, LLM_TWIN_LLM_MODEL and LLM_TWIN_LLM_API_KEY",
                    ) from error
                if not (self._schema_accepted and error.status_code in (400, 422)):
                    return "", "refused", error.message
                self._schema_accepted = False  # the server knows no response_format: ask in words only
                failure, detail = "no schema support", error.message
                continue
            except (openai.APIResponseValidationError, ValueError) as error:
                failure, detail = "server error", f"unreadable response: {error}"
            finally:
                self.ledger.settle(reserved, *spent)
            if attempt < self.recipe.retries:
                await asyncio.sleep(wait or _backoff(attempt))
        if failure == "unreachable" and not self.ledger.outcomes["answered"]:
            raise ServiceError(f"cannot reach {self.base_url}: {detail}", "check LLM_TWIN_LLM_BASE_URL")
        return "", failure, detail

    async def _complete(
        self, server: AsyncOpenAI, messages: list[dict[str, str]], reply_type: type[BaseModel]
    ) -> tuple[str, tuple[int, int]]:
        """One request: the text, and the tokens it took (counted by length where the server does not say)."""
        options: dict[str, Any] = {"response_format": strict_schema(reply_type)} if self._schema_accepted else {}
        completion = await server.chat.completions.create(
            model=self.model,
            messages=messages,  # type: ignore[arg-type]
            max_tokens=self.recipe.max_tokens,
            temperature=self.recipe.temperature,
            **options,
        )
        choices = getattr(completion, "choices", None)
        if not choices or choices[0].message is None:
            raise ValueError("no choices in it")
        text = choices[0].message.content or _declined(choices[0])
        usage = completion.usage
        if usage is None:
            return text, (sum(len(m["content"]) for m in messages) // 3, len(text) // 3)
        return text, (usage.prompt_tokens, usage.completion_tokens)


def open_client(
    base_url: str, model: str, recipe: LlmRecipe, api_key: str = "", cache_dir: Path | None = None
) -> LlmClient | None:
    """The client of a configured endpoint with its cache in `cache_dir`; None where no URL is configured."""
    if not base_url:
        return None
    cache = ReplyCache(cache_dir / "replies.db") if cache_dir else None
    return LlmClient(base_url, model, recipe, api_key, cache)


def _declined(choice: Any) -> str:
    """The words of a reply that has only a refusal, as servers with structured output or a content filter give it."""
    words = getattr(choice.message, "refusal", None) or ""
    return f"I am sorry: {words}" if words or choice.finish_reason == "content_filter" else ""


def _asked_wait(header: str) -> float:
    """Seconds of a Retry-After header, bounded; 0 where there is none or it is a date."""
    try:
        return min(max(float(header), 0.01), MAX_WAIT_SECONDS)
    except ValueError:
        return 0.0


def _backoff(attempt: int) -> float:
    """Seconds before the next attempt: doubling, with jitter so that many do not come back at once."""
    return min(FIRST_WAIT_SECONDS * 2**attempt, MAX_WAIT_SECONDS) * random.uniform(0.5, 1.0)
