"""A predictor that costs next to nothing, so that what stands before it is what is measured.

`python -m benchmarks.fast_predictor PORT` answers OpenAI chat completions (whole, or 100 tokens streamed) and
KServe v1 and v2 at once, always the same; with a second argument `quote` it says the first two sentences of the first
passage that it was given, so that there is something to support.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson

TOKENS = 100
TEXT = " ".join(f"w{i}" for i in range(20))
CHAT = orjson.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "base",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 20, "total_tokens": 40},
    }
)
V1 = orjson.dumps({"predictions": [TEXT]})
V2 = orjson.dumps(
    {
        "model_name": "m",
        "id": "x",
        "outputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}],
    }
)
TOKEN_SECONDS = 0.02  # between two tokens of a stream: 50 a second, which 200 streams make 10,000


def _event(i: int) -> bytes:
    chunk = {"id": "x", "choices": [{"index": 0, "delta": {"content": f"w{i} "}, "finish_reason": None}]}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


QUOTES = sys.argv[2:] == ["quote"]


def _quote(body: bytes) -> bytes:
    passage = orjson.loads(body)["messages"][-1]["content"].split("\n", 2)[1]
    said = ". ".join(passage.split(". ")[:2]) + "."
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    return orjson.dumps({**orjson.loads(CHAT), "choices": [choice]})


EVENTS = [_event(i) for i in range(TOKENS)]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path = scope["path"]
    if b'"stream":true' in body or path.endswith("/stream"):
        await _send_head(send, b"text/event-stream", None)
        for event in EVENTS:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(TOKEN_SECONDS)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        return
    if path.endswith("/models"):
        answer = b'{"data":[{"id":"base"}]}'
    else:
        chat = _quote(body) if QUOTES and b'"messages"' in body else CHAT
        answer = chat if "chat" in path else V1 if path.startswith("/v1/") else V2
    await _send_head(send, b"application/json", len(answer))
    await send({"type": "http.response.body", "body": answer})


async def _send_head(send: Any, kind: bytes, length: int | None) -> None:
    headers = [(b"content-type", kind)] + ([(b"content-length", str(length).encode())] if length else [])
    await send({"type": "http.response.start", "status": 200, "headers": headers})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, http="httptools", loop="uvloop")
