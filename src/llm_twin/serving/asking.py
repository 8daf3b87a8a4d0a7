"""One question to its answers: from the cache where it was asked before, else the whole way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from llm_twin.documents import Answer
from llm_twin.serving.answering import (
    Asked,
    Parts,
    Prepared,
    Source,
    begin,
    conclude,
    finish,
    generate,
    prepare,
    timed,
)
from llm_twin.serving.cache import TimedCache, answer_key
from llm_twin.serving.twins import Twin


@dataclass(frozen=True)
class Answered:
    """All choices for one question; tokens are 0 where no predictor counted them."""

    answers: list[Answer]
    finishes: list[str]
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Kept:
    """An answer in the cache, and what was retrieved for it."""

    answered: Answered
    sources: tuple[Source, ...]


async def answer_all(asked: Asked, twin: Twin, parts: Parts) -> Answered:
    """The answers (one for each choice asked for) and how each ended."""
    known = await recall(asked, twin, parts)
    if known is not None:
        return known
    prepared = await prepare(asked, twin, parts)
    draft = await generate(prepared, parts)
    count = int(asked.sampling.get("n", 1))
    texts: Sequence[str | None] = draft.texts if draft else [None] * count
    answers = [await conclude(prepared, text, parts) for text in texts]
    finishes = [
        ended if answer.status == "generated" else "stop"
        for ended, answer in zip(draft.finishes if draft else ["stop"] * count, answers, strict=True)
    ]
    read, written = (draft.prompt_tokens, draft.completion_tokens) if draft else (0, 0)
    asked.origin.spend(read + written)
    answered = Answered(answers, finishes, read, written)
    keep(asked, prepared, answered, parts)
    return answered


async def answer_question(asked: Asked, twin: Twin, parts: Parts) -> Answer:
    """The whole way for one question with one answer."""
    return (await answer_all(asked, twin, parts)).answers[0]


async def recall(asked: Asked, twin: Twin, parts: Parts) -> Answered | None:
    """What was answered before, if its passages are all still in the index; the request is traced as its own."""
    cache = parts.answers.get(twin.name)
    key = answer_key(asked, twin) if cache is not None else ""
    if not key or cache is None:
        return None
    prepared = begin(asked, twin, parts)
    with timed(prepared, "cache", parts.clock):
        kept = cache.get(key)
        if kept is not None and kept.sources and parts.still_there is not None:
            ids = [source.chunk.chunk_id for source in kept.sources]
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(parts.pool, parts.still_there, twin.author.id, ids):
                cache.drop(key)
                kept = None
    if kept is None:
        return None
    prepared.sources = list(kept.sources)
    before = kept.answered
    answers = [finish(prepared, a.status, a.text, a.sentences, parts) for a in before.answers]
    return Answered(answers, before.finishes, before.prompt_tokens, before.completion_tokens)


def keep(asked: Asked, prepared: Prepared, answered: Answered, parts: Parts) -> None:
    """Remember an answer, unless something went wrong on its way, or a guard spoke."""
    if prepared.notes or parts.retrieve is None:
        return
    key = answer_key(asked, prepared.twin)
    if not key:
        return
    recipe = prepared.twin.serving.cache
    cache = parts.answers.get(prepared.twin.name)
    if cache is None or (cache.capacity, cache.ttl_seconds) != (recipe.max_answers, recipe.ttl_seconds):
        cache = parts.answers[prepared.twin.name] = TimedCache(recipe.max_answers, recipe.ttl_seconds)
    cache.put(key, Kept(answered, tuple(prepared.sources)))
