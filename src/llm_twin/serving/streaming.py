"""A streamed answer, checked as it flows: a sentence is let out once the sources support it.

The predictor's tokens are gathered to sentences. The first is held until the check is for it; while more
than the allowed share is unsupported nothing goes out; what was never supported is replaced by the extract.
So a stream cannot say what a whole answer would not.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from llm_twin.documents import AnswerSentence
from llm_twin.serving.answering import (
    Asked,
    Parts,
    Prepared,
    body_for,
    conclude,
    finish,
    prepare,
    timed,
)
from llm_twin.serving.chat_models import ChatRequest
from llm_twin.serving.http import Call
from llm_twin.serving.predictor_client import PredictorError
from llm_twin.serving.protocols import count_tokens, new_id, twin_field, usage_of
from llm_twin.serving.twins import Twin
from llm_twin.support import check_support, split_sentences


async def stream_chat(call: Call, request: ChatRequest, asked: Asked, twin: Twin, parts: Parts) -> None:
    """Answer a chat request as server-sent events; the last event before `[DONE]` holds the sources."""
    prepared = await prepare(asked, twin, parts)
    head = {
        "id": new_id("chatcmpl"),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request.model or twin.name,
    }
    await call.start_events()
    await _send_delta(call, head, {"role": "assistant", "content": ""})
    sentences: list[AnswerSentence] = []
    text = ""
    if not prepared.refusal and parts.predictor is not None:
        gate = Gate(prepared, parts)
        try:
            with timed(prepared, "generate", parts.clock):
                async for chunk in parts.predictor.stream(_single(body_for(prepared)), asked.request_id):
                    for piece, released in await gate.add(_content(chunk)):
                        text += piece
                        await _send_delta(call, head, {"content": piece}, released)
            for piece, released in await gate.end():
                text += piece
                await _send_delta(call, head, {"content": piece}, released)
        except PredictorError as error:
            prepared.notes.append(error.message)
        sentences = gate.released
    if text:
        answer = finish(prepared, "generated", text.strip(), sentences, parts)
    else:
        answer = await conclude(prepared, None, parts)
        for i, sentence in enumerate(answer.sentences):
            piece = (" " if i else "") + sentence.text
            await _send_delta(call, head, {"content": piece}, [sentence])
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    await call.send_event({**head, "choices": [last], "twin": twin_field(answer, twin)})
    if request.stream_options and request.stream_options.include_usage:
        usage = usage_of(sum(count_tokens(m["content"]) for m in prepared.messages), count_tokens(answer.text))
        await call.send_event({**head, "choices": [], "usage": usage})
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

    async def add(self, text: str) -> list[tuple[str, list[AnswerSentence]]]:
        """Take more text; return what may go out, with its sentences."""
        if not self.checks:
            return [(text, [])] if text else []
        self.buffer += text
        ready: list[tuple[str, list[AnswerSentence]]] = []
        while True:
            found = split_sentences(self.buffer)
            if len(found) < 2:
                return ready
            cut = found[1].start
            ready += await self._check(self.buffer[:cut], found[0].text)
            self.buffer = self.buffer[cut:]

    async def end(self) -> list[tuple[str, list[AnswerSentence]]]:
        """No more comes: return what may still go out."""
        ready: list[tuple[str, list[AnswerSentence]]] = []
        for sentence in split_sentences(self.buffer) if self.checks else []:
            ready += await self._check(sentence.text, sentence.text)
        return ready

    async def _check(self, raw: str, sentence: str) -> list[tuple[str, list[AnswerSentence]]]:
        loop = asyncio.get_running_loop()
        assert self.parts.encoder is not None
        serving = self.prepared.twin.serving
        with timed(self.prepared, "check", self.parts.clock):
            judged = (
                await loop.run_in_executor(
                    self.parts.pool,
                    check_support,
                    [sentence],
                    self.prepared.chunks,
                    self.parts.encoder,
                    serving.min_support,
                )
            )[0]
        self.seen += 1
        self.supported += judged.supported
        self.held.append((raw, judged))
        if self.supported / self.seen < serving.min_supported_share or not self.supported:
            return []
        out = [(piece, [one]) for piece, one in self.held]
        self.released += [one for _, one in self.held]
        self.held = []
        return out


def _single(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "n": 1}


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
