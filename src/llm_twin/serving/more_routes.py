"""The protocols beside chat: OpenAI completions, embeddings and rag; KServe's generate and
generate_stream."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import numpy as np

from llm_twin.documents import Answer
from llm_twin.serving.answering import Asked, list_sources
from llm_twin.serving.asking import Answered, answer_all, answer_question
from llm_twin.serving.chat_models import CompletionRequest, check_single, parse_body
from llm_twin.serving.http import Call, HttpError
from llm_twin.serving.protocols import (
    EmbeddingsRequest,
    GenerateRequest,
    RagRequest,
    asked_from_generate,
    count_tokens,
    given_sampling,
    new_id,
    twin_field,
    usage_of,
)
from llm_twin.serving.service import MAX_BODY, Service, origin_of
from llm_twin.serving.streaming import begin_stream
from llm_twin.serving.twins import Twin


async def complete(service: Service, call: Call) -> None:
    """OpenAI completions: each prompt is a question."""
    request = parse_body(await call.read_body(MAX_BODY), CompletionRequest)
    twin = service.find(request.model, call)
    sampling = given_sampling(request)
    asked = [Asked(prompt, sampling=sampling, origin=origin_of(call)) for prompt in request.prompt]
    head = {"id": new_id("cmpl"), "created": int(time.time()), "model": request.model or twin.name}
    if request.stream:
        check_single(request)
        if len(asked) > 1:
            raise HttpError(400, "prompt: only one can be streamed", field="prompt")
        await _stream_completion(service, call, asked[0], twin, {**head, "object": "text_completion"})
        return
    choices: list[dict[str, Any]] = []
    written = read = 0
    for one in asked:
        done = await answer_all(one, twin, service.parts)
        for answer, ended in zip(done.answers, done.finishes, strict=True):
            shown = (one.question + answer.text) if request.echo else answer.text
            choice = {"index": len(choices), "text": shown, "finish_reason": ended, "logprobs": None}
            choices.append({**choice, "twin": twin_field(answer, twin)})
        written += done.completion_tokens or sum(count_tokens(answer.text) for answer in done.answers)
        read += done.prompt_tokens or count_tokens(one.question)
    await call.send_json({**head, "object": "text_completion", "choices": choices, "usage": usage_of(read, written)})


async def _stream_completion(service: Service, call: Call, asked: Asked, twin: Twin, head: dict[str, Any]) -> None:
    pieces = await begin_stream(asked, twin, service.parts)
    await call.start_events()
    async for piece in pieces:
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": None}
        event = {**head, "choices": [choice]}
        if isinstance(piece, Answered):
            choice["finish_reason"] = piece.finishes[0]
            event["twin"] = twin_field(piece.answers[0], twin)
        else:
            choice["text"] = piece[0]
        await call.send_event(event)
    await call.end_events()


async def rag(service: Service, call: Call) -> None:
    """A question and k to an answer and its sources."""
    request = parse_body(await call.read_body(MAX_BODY), RagRequest)
    if not request.query.strip():
        raise HttpError(400, "query: it is empty", field="query")
    twin = service.find(request.model, call)
    asked = Asked(request.query, top_k=request.k, origin=origin_of(call))
    if request.answer:
        answer = await answer_question(asked, twin, service.parts)
        await call.send_json({"query": request.query, "answer": answer.text, **twin_field(answer, twin)})
        return
    if service.parts.retrieve is None:
        raise HttpError(503, "this server has no index", code="no_index")
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(service.parts.pool, service.parts.retrieve, asked, twin)
    sources = [source.model_dump() for source in list_sources([], found)]
    await call.send_json({"query": request.query, "author": twin.author.id, "index": twin.index, "sources": sources})


async def embed(service: Service, call: Call) -> None:
    """OpenAI embeddings, by the encoder of the index."""
    request = parse_body(await call.read_body(MAX_BODY), EmbeddingsRequest)
    encoder = service.parts.encoder
    if encoder is None:
        raise HttpError(503, "this server has no encoder", code="no_encoder")
    loop = asyncio.get_running_loop()
    vectors = await loop.run_in_executor(service.parts.pool, encoder.encode, request.input)
    if request.dimensions is not None:
        if request.dimensions > vectors.shape[1]:
            raise HttpError(400, f"dimensions: at most {vectors.shape[1]}", field="dimensions")
        vectors = vectors[:, : request.dimensions]
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    data = [
        {"object": "embedding", "index": i, "embedding": _encode_vector(vector, request.encoding_format)}
        for i, vector in enumerate(np.asarray(vectors, np.float32))
    ]
    tokens = sum(count_tokens(text) for text in request.input)
    name = next(iter(service.twins.values())).embedder
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    await call.send_json({"object": "list", "model": request.model or name, "data": data, "usage": usage})


def _encode_vector(vector: np.ndarray, form: str) -> Any:
    return base64.b64encode(vector.tobytes()).decode() if form == "base64" else vector.tolist()


async def generate_v2(service: Service, call: Call) -> None:
    """KServe's generate extension: `text_input` in, `text_output` and the sources out."""
    twin = service.find(call.parameters["name"], call)
    request = parse_body(await call.read_body(MAX_BODY), GenerateRequest)
    answer = await answer_question(asked_from_generate(request, origin_of(call)), twin, service.parts)
    await call.send_json(_generated(answer.text, twin, request.id or call.request_id, answer))


async def generate_stream_v2(service: Service, call: Call) -> None:
    """The same as server-sent events; the last one holds the sources."""
    twin = service.find(call.parameters["name"], call)
    request = parse_body(await call.read_body(MAX_BODY), GenerateRequest)
    pieces = await begin_stream(asked_from_generate(request, origin_of(call)), twin, service.parts)
    await call.start_events()
    async for piece in pieces:
        if isinstance(piece, Answered):
            await call.send_event(_generated("", twin, request.id or call.request_id, piece.answers[0]))
        else:
            await call.send_event(_generated(piece[0], twin, request.id or call.request_id, None))
    await call.end_events(done=False)


def _generated(text: str, twin: Twin, request_id: str, answer: Answer | None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model_name": twin.name,
        "model_version": twin.release or None,
        "id": request_id,
        "text_output": text,
    }
    if answer is not None:
        body["details"] = twin_field(answer, twin)
    return body
