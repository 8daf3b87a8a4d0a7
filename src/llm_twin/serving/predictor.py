"""The local predictor: a model and its adapters behind OpenAI chat completions, as TGI and vLLM offer it.

    python -m llm_twin.serving.predictor --model DIR [--adapter NAME=DIR]… --port N

The base answers to its served name (`base`), each adapter to its own; the transformer cannot tell this
process from an engine on a GPU. vLLM's routes for loading an adapter while running are here too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from llm_twin.errors import ModelError, TwinError
from llm_twin.logs import REQUEST_ID, event, start_logging
from llm_twin.serving.chat_models import ChatRequest, CompletionRequest, Sampling, parse_body
from llm_twin.serving.generation import BASE, Engine, Finish, Row, SamplingChoice, Speed
from llm_twin.serving.http import Call, Disconnected, HttpError, Receive, Scope, Send, parse_json

logger = logging.getLogger("llm_twin.serving.predictor")
MAX_BODY = 4_000_000  # bytes
DEFAULT_TOKENS = 256


class Predictor:
    """The ASGI application over one engine."""

    def __init__(self, engine: Engine, served_name: str = "base", adapter_root: Path | None = None) -> None:
        self.engine, self.served_name = engine, served_name
        self.adapter_root = adapter_root  # None: adapters cannot be loaded while running
        self.requests = 0
        self.running = 0
        self.started = time.time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = Call.of(scope, receive, send)
        given = call.header(b"x-request-id")
        call.request_id = given if REQUEST_ID.match(given) else ""
        begun = time.monotonic()
        try:
            await self._route(call)
        except Disconnected:
            return
        except HttpError as error:
            if not call.status:
                await _send_error(call, error)
        except TwinError as error:
            if not call.status:
                await _send_error(call, HttpError(500, error.message, code="model_error"))
        finally:
            if call.method == "POST":  # the rest are probes
                fields = {
                    "route": call.path if call.status != 404 else "none",
                    "status": call.status or 499,
                    **call.state,
                }
                fields["seconds"] = round(time.monotonic() - begun, 4)
                event(logger, "request", known=call.request_id, **fields)

    async def _route(self, call: Call) -> None:
        match call.method, call.path:
            case "POST", "/v1/chat/completions":
                await self._chat(call)
            case "POST", "/v1/completions":
                await self._complete(call)
            case "GET", "/v1/models":
                await call.send_json({"object": "list", "data": [self._card(name) for name in self._names()]})
            case "GET", "/health" | "/ping":
                await call.send_json({"status": "ok"})
            case "GET", "/metrics":
                await call.send_bytes(200, b"text/plain; version=0.0.4", self._metrics().encode())
            case "POST", "/v1/load_lora_adapter" | "/v1/unload_lora_adapter":
                await self._change_adapter(call)
            case _:
                raise HttpError(404, f"no route {call.method} {call.path}", code="not_found")

    async def _chat(self, call: Call) -> None:
        request = parse_body(await call.read_body(MAX_BODY), ChatRequest)
        messages = [{"role": _role(m.role), "content": m.content} for m in request.messages]
        prompt = apply_chat_template(self.engine.tokenizer, messages)
        await self._answer(call, request, [prompt], chat=True)

    async def _complete(self, call: Call) -> None:
        request = parse_body(await call.read_body(MAX_BODY), CompletionRequest)
        prompts = [self.engine.tokenizer(prompt).input_ids for prompt in request.prompt]
        await self._answer(call, request, prompts, chat=False)

    async def _answer(self, call: Call, request: Sampling, prompts: list[list[int]], *, chat: bool) -> None:
        adapter = self._adapter(request.model)
        sampling = self._sampling(request, max(len(prompt) for prompt in prompts))
        outputs: asyncio.Queue[tuple[int, str, Finish | Exception | None]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        rows: list[Row] = []
        for prompt in prompts:
            for copy in range(request.n):
                choice = sampling
                if copy and sampling.seed is not None:
                    choice = SamplingChoice(**{**sampling.__dict__, "seed": sampling.seed + copy})
                rows.append(Row(list(prompt), choice, adapter, _sink(loop, outputs, len(rows))))
        for row in rows:
            if not self.engine.submit(row):
                _cancel(rows)
                raise HttpError(503, "too many requests are waiting", code="overloaded", retry_after=1)
        self.requests += 1
        self.running += 1
        head = {
            "id": ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex[:24],
            "created": int(time.time()),
            "model": request.model or self.served_name,
        }
        try:
            if request.stream:
                await self._stream(call, request, rows, outputs, head, chat)
            else:
                await self._collect(call, rows, outputs, head, chat)
        finally:
            self.running -= 1
            _cancel(rows)
            call.state = {"model": head["model"], "written": sum(len(row.written) for row in rows)}

    async def _collect(self, call: Call, rows: list[Row], outputs: Any, head: dict[str, Any], chat: bool) -> None:
        texts, finishes = [""] * len(rows), ["stop"] * len(rows)
        gone = asyncio.ensure_future(_wait_disconnect(call))
        try:
            async for index, text, finish in _until_done(outputs, len(rows), gone):
                texts[index] += text
                finishes[index] = finish or finishes[index]
        finally:
            gone.cancel()
        choices = [
            {"index": i, "finish_reason": finishes[i], "logprobs": None}
            | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
            for i, text in enumerate(texts)
        ]
        kind = "chat.completion" if chat else "text_completion"
        await call.send_json({**head, "object": kind, "choices": choices, "usage": _usage(rows)})

    async def _stream(
        self, call: Call, request: Sampling, rows: list[Row], outputs: Any, head: dict[str, Any], chat: bool
    ) -> None:
        head = {**head, "object": "chat.completion.chunk" if chat else "text_completion"}
        await call.start_events()
        gone = asyncio.ensure_future(_wait_disconnect(call))
        try:
            if chat:
                for i in range(len(rows)):
                    delta = {"role": "assistant", "content": ""}
                    await call.send_event({**head, "choices": [{"index": i, "delta": delta, "finish_reason": None}]})
            async for index, text, finish in _until_done(outputs, len(rows), gone):
                part = {"delta": {"content": text} if text else {}} if chat else {"text": text}
                await call.send_event({**head, "choices": [{"index": index, **part, "finish_reason": finish}]})
            if request.stream_options and request.stream_options.include_usage:
                await call.send_event({**head, "choices": [], "usage": _usage(rows)})
        except (TwinError, RuntimeError) as error:
            await call.send_event({"error": {"message": str(error), "type": "server_error", "code": "model_error"}})
        finally:
            gone.cancel()
        await call.end_events()

    def _sampling(self, request: Sampling, prompt_tokens: int) -> SamplingChoice:
        room = self.engine.max_length - prompt_tokens
        if room < 1:
            raise HttpError(
                400,
                f"the prompt has {prompt_tokens} tokens; the context length is {self.engine.max_length}",
                code="context_length_exceeded",
                field="messages",
            )
        return SamplingChoice(
            max_tokens=min(request.token_limit or DEFAULT_TOKENS, room),
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=request.top_p or 1.0,
            top_k=max(0, request.top_k or 0),
            repetition_penalty=request.repetition_penalty or 1.0,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            seed=request.seed,
            stop=tuple(request.stop),
        )

    def _adapter(self, model: str) -> str:
        if model in ("", self.served_name):
            return BASE
        if model in self.engine.adapters:
            return model
        raise HttpError(404, f"no model {model!r}; there are {self._names()}", code="model_not_found", field="model")

    def _names(self) -> list[str]:
        return [self.served_name, *self.engine.adapters]

    def _card(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": int(self.started),
            "owned_by": "llm-twin",
            "parent": None if name == self.served_name else self.served_name,
            "max_model_len": self.engine.max_length,
        }

    async def _change_adapter(self, call: Call) -> None:
        body = parse_json(await call.read_body(10_000))
        name = body.get("lora_name") if isinstance(body, dict) else None
        if self.adapter_root is None:
            raise HttpError(
                403, "adapters cannot be changed while running; start with --adapter-root", code="forbidden"
            )
        if not isinstance(name, str) or not name or name == self.served_name:
            raise HttpError(400, "lora_name must name an adapter", field="lora_name")
        if call.path.endswith("/unload_lora_adapter"):
            await asyncio.to_thread(self.engine.unload_adapter, name)
        else:
            path = Path(str(body.get("lora_path", ""))).absolute().resolve()
            if not path.is_relative_to(self.adapter_root.absolute().resolve()):
                raise HttpError(400, "lora_path lies outside --adapter-root", field="lora_path")
            try:
                await asyncio.to_thread(self.engine.load_adapter, name, path)
            except ModelError as error:
                raise HttpError(400, str(error), code="model_error", field="lora_path") from error
        await call.send_json({"status": "ok", "models": self._names()})

    def _metrics(self) -> str:
        figures = {
            "requests_total": self.requests,
            "batches_total": self.engine.batches,
            "rows_total": self.engine.rows,
            "running": self.running,
            "waiting": self.engine.waiting,
            "steps_total": self.engine.how.steps,
            "right_guesses_total": self.engine.how.right,
        }
        return "".join(f"llm_twin_predictor_{name} {value}\n" for name, value in figures.items())


def apply_chat_template(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of a chat, with the turn of the assistant opened."""
    if tokenizer.chat_template is None:
        text = "\n\n".join(message["content"] for message in messages) + "\n\n"
        return list(tokenizer(text).input_ids)
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _role(role: str) -> str:
    return "system" if role == "developer" else role


def _sink(loop: asyncio.AbstractEventLoop, outputs: Any, index: int) -> Any:
    """What the engine's thread calls: puts a piece of row `index` into the loop's queue."""

    def emit(text: str, finish: Finish | Exception | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(outputs.put_nowait, (index, text, finish))

    return emit


def _cancel(rows: list[Row]) -> None:
    for row in rows:
        row.cancelled = True


async def _wait_disconnect(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        continue


async def _until_done(outputs: Any, count: int, gone: asyncio.Future[None]) -> AsyncIterator[tuple[int, str, Any]]:
    """Pieces of text until every row has finished. Raises Disconnected when the client leaves."""
    while count:
        getter = asyncio.ensure_future(outputs.get())
        await asyncio.wait({getter, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not getter.done():
            getter.cancel()
            raise Disconnected
        index, text, finish = getter.result()
        if isinstance(finish, Exception):
            raise finish if isinstance(finish, TwinError) else ModelError(f"generation failed: {finish}")
        count -= finish is not None
        yield index, text, finish


def _usage(rows: list[Row]) -> dict[str, int]:
    asked = sum(len(tokens) for tokens in {tuple(row.tokens) for row in rows})
    written = sum(len(row.written) for row in rows)
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


async def _send_error(call: Call, error: HttpError) -> None:
    if error.retry_after:
        call.sent_headers.append((b"retry-after", str(error.retry_after).encode()))
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body = {"message": error.message, "type": kind, "param": error.field or None, "code": error.code or None}
    await call.send_json({"error": body}, error.status)


def main(arguments: list[str] | None = None) -> None:
    """Load the model, then serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="llm_twin.serving.predictor", description=main.__doc__)
    parser.add_argument("--model", required=True, help="folder of the base or a merged model")
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=DIR", help="a LoRA adapter")
    parser.add_argument("--adapter-root", type=Path, help="folder from which adapters may be loaded while running")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--served-name", default="base")
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--max-waiting", type=int, default=256)
    parser.add_argument("--batch-wait-ms", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: its own choice")
    parser.add_argument("--speculation", choices=["none", "lookup", "draft"], default="none", help="who guesses ahead")
    parser.add_argument("--draft-model", default="", help="folder of a smaller model of the same vocabulary")
    parser.add_argument("--guesses", type=int, default=4, help="tokens guessed ahead, at most")
    parser.add_argument("--static-cache", action="store_true", help="keys and values in room that is laid out first")
    parser.add_argument("--compile", action="store_true", help="with torch.compile; needs a C++ compiler")
    options = parser.parse_args(arguments)
    start_logging("predictor")
    import uvicorn

    try:
        adapters = dict(pair.split("=", 1) for pair in options.adapter)
        engine = Engine(
            options.model,
            adapters,
            max_batch=options.max_batch,
            wait_seconds=options.batch_wait_ms / 1000,
            max_waiting=options.max_waiting,
            threads=options.threads,
            speed=Speed(
                options.speculation, options.draft_model, options.guesses, options.static_cache, options.compile
            ),
        )
    except ValueError:
        sys.exit("--adapter takes NAME=DIR")
    except TwinError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    app = Predictor(engine, options.served_name, options.adapter_root)
    # A process whose parent died must not stay: the parent's death closes nothing we could see, so ask the
    # system.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    print(json.dumps({"ready": f"http://{options.host}:{options.port}", "pid": os.getpid()}), flush=True)
    uvicorn.run(
        app, host=options.host, port=options.port, log_level="warning", access_log=False, lifespan="off",
        timeout_graceful_shutdown=30, timeout_keep_alive=75,
    )  # fmt: skip
    engine.close()


if __name__ == "__main__":
    main()
