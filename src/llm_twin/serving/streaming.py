"""A streamed answer, checked as it flows: a sentence is let out once the sources support it.

The predictor's tokens are gathered to sentences. The first is held until the check is for it; while more
than the allowed share is unsupported nothing goes out; what was never supported is replaced by the extract.
So a stream cannot say what a whole answer would not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from llm_twin.documents import AnswerSentence
from llm_twin.serving.answering import (
    Asked,
    Parts,
    Prepared,
    body_for,
    check_sentences,
    conclude,
    finish,
    prepare,
    timed,
)
from llm_twin.serving.asking import Answered, keep, recall
from llm_twin.serving.chat_models import ChatRequest
from llm_twin.serving.http import Call
from llm_twin.serving.predictor_client import PredictorError
from llm_twin.serving.protocols import count_tokens, new_id, twin_field, usage_of
from llm_twin.serving.twins import Twin
from llm_twin.support import split_sentences

Piece = tuple[str, list[AnswerSentence]]  # text that goes out, with the sentences it completes


async def begin_stream(asked: Asked, twin: Twin, parts: Parts) -> AsyncIterator[Piece | Answered]:
    """Retrieve and write the prompt (or find the answer in the cache); then the stream is ready to be read.

    What goes wrong before its first piece is raised here, while the response can still say so.
    """
    known = await recall(asked, twin, parts)
    if known is not None:
        return replay(known)
    return stream_answer(await prepare(asked, twin, parts), asked, parts)


async def replay(answered: Answered) -> AsyncIterator[Piece | Answered]:
    """An answer that is known whole, sentence by sentence."""
    answer = answered.answers[0]
    for i, sentence in enumerate(answer.sentences):
        yield (" " if i else "") + sentence.text, [] if answer.status == "refused" else [sentence]
    yield answered


async def stream_answer(prepared: Prepared, asked: Asked, parts: Parts) -> AsyncIterator[Piece | Answered]:
    """The answer's pieces as they may go out, then the answer whole."""
    gate = Gate(prepared, parts)
    text, end = "", "stop"
    usage: dict[str, int] = {}
    request_id = asked.origin.request_id
    if not prepared.refusal and parts.predictor is not None:
        try:
            with timed(prepared, "generate", parts.clock):
                body, hedging = _single(body_for(prepared)), prepared.twin.serving.hedging
                async for chunk in parts.predictor.stream(body, request_id, hedging):
                    end, usage = _finish(chunk) or end, chunk.get("usage") or usage
                    for piece in await gate.add(_content(chunk)):
                        text += piece[0]
                        yield piece
        except PredictorError as error:
            prepared.notes.append(error.message)
        for piece in await gate.end():
            text += piece[0]
            yield piece
    counts = [int(usage.get(f"{kind}_tokens") or 0) for kind in ("prompt", "completion")]
    asked.origin.spend(sum(counts))
    if text.strip():
        answer = finish(prepared, "generated", text.strip(), gate.released, parts)
        answered = Answered([answer], [end], *counts)
        keep(asked, prepared, answered, parts)
        yield answered
        return
    answered = Answered([await conclude(prepared, None, parts)], ["stop"])
    keep(asked, prepared, answered, parts)
    async for whole in replay(answered):
        yield whole


async def stream_chat(call: Call, request: ChatRequest, asked: Asked, twin: Twin, parts: Parts) -> None:
    """Answer a chat request as server-sent events; the last event before `[DONE]` holds the sources."""
    pieces = await begin_stream(asked, twin, parts)
    head = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request.model or twin.name,
    }
    await call.start_events()
    await _send_delta(call, head, {"role": "assistant", "content": ""})
    async for piece in pieces:
        if not isinstance(piece, Answered):
            await _send_delta(call, head, {"content": piece[0]}, piece[1])
            continue
        answer = piece.answers[0]
        last = {"index": 0, "delta": {}, "finish_reason": piece.finishes[0]}
        await call.send_event({**head, "choices": [last], "twin": twin_field(answer, twin)})
        if request.stream_options and request.stream_options.include_usage:
            read = piece.prompt_tokens or count_tokens(asked.question)
            written = piece.completion_tokens or count_tokens(answer.text)
            await call.send_event({**head, "choices": [], "usage": usage_of(read, written)})
    await call.end_events()


class Gate:
    """Holds text back until it is known to be supported."""

    def __init__(self, prepared: Prepared, parts: Parts) -> None:
        self.prepared, self.parts = prepared, parts
        self.checks = parts.encoder is not None and parts.retrieve is not None
        self.buffer = ""
        self.held: list[tuple[str, AnswerSentence]] = []
        self.released: list[AnswerSentence] = []
        self.seen = self.supported = 0

    async def add(self, text: str) -> list[Piece]:
        """Take more text; return what may go out, with its sentences."""
        if not self.checks:
            return [(text, [])] if text else []
        self.buffer += text
        ready: list[Piece] = []
        while True:
            found = split_sentences(self.buffer)
            if len(found) < 2:
                return ready
            cut = found[1].start
            ready += await self._check(self.buffer[:cut], found[0].text)
            self.buffer = self.buffer[cut:]

    async def end(self) -> list[Piece]:
        """No more comes: return what may still go out."""
        ready: list[Piece] = []
        for sentence in split_sentences(self.buffer) if self.checks else []:
            ready += await self._check(sentence.text, sentence.text)
        return ready

    async def _check(self, raw: str, sentence: str) -> list[Piece]:
        loop = asyncio.get_running_loop()
        serving = self.prepared.twin.serving
        with timed(self.prepared, "check", self.parts.clock):
            kept = await loop.run_in_executor(self.parts.pool, self._judge, sentence)
        self.seen += 1
        if kept is not None:
            self.supported += kept.supported
            self.held.append((raw.replace(sentence, kept.text), kept))
        if self.supported / self.seen < serving.min_supported_share or not self.supported:
            return []
        out = [(piece, [one]) for piece, one in self.held]
        self.released += [one for _, one in self.held]
        self.held = []
        return out

    def _judge(self, sentence: str) -> AnswerSentence | None:
        """A sentence as it may go out; runs in the pool."""
        assert self.parts.encoder is not None
        guards = self.parts.guards_of(self.prepared.twin)
        return check_sentences([sentence], self.prepared, self.parts.encoder, guards)[0]


def _single(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "n": 1, "stream_options": {"include_usage": True}}


def _finish(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return str(choices[0].get("finish_reason") or "")


def _content(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


async def _send_delta(
    call: Call, head: dict[str, Any], delta: dict[str, Any], sentences: list[AnswerSentence] | None = None
) -> None:
    event = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    if sentences:
        event["twin"] = {"sentences": [sentence.model_dump() for sentence in sentences]}
    await call.send_event(event)
