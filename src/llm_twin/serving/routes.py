"""The transformer's own routes: OpenAI and KServe protocols, and what the page needs."""

from __future__ import annotations

import asyncio
import time
from importlib import resources
from typing import Any

from llm_twin.documents import Answer
from llm_twin.serving.answering import Asked, Parts, answer_question, conclude, generate, prepare
from llm_twin.serving.chat_models import ChatRequest, parse_body, validate
from llm_twin.serving.front import Route
from llm_twin.serving.http import Call, HttpError, parse_json
from llm_twin.serving.protocols import (
    TwinOptions,
    V1Request,
    V2Request,
    asked_from_chat,
    asked_from_instance,
    asked_from_v2,
    chat_completion,
    count_tokens,
    usage_of,
    v1_prediction,
)
from llm_twin.serving.streaming import stream_chat
from llm_twin.serving.twins import Twin

MAX_BODY = 2_000_000  # bytes
PAGE_FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
PAGE_TYPES = {"html": b"text/html; charset=utf-8", "css": b"text/css", "js": b"text/javascript"}
PAGE_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]  # fmt: skip


class Service:
    """The twins of one server and what answers for them."""

    def __init__(self, twins: list[Twin], parts: Parts) -> None:
        self.twins = {twin.name: twin for twin in twins}
        self.parts = parts
        self.models: dict[str, Any] = {}  # KServe's, by name
        self.started = int(time.time())
        self.stopping = False

    def find(self, name: str, field: str = "model") -> Twin:
        """The twin of a model name; the only twin where none is named. Raises HttpError 404."""
        if not name and len(self.twins) == 1:
            return next(iter(self.twins.values()))
        twin = self.twins.get(name)
        if twin is None:
            raise HttpError(404, f"no model {name!r}", code="model_not_found", field=field)
        return twin

    def routes(self) -> list[Route]:
        """All routes of ours."""
        chat = Route(
            "POST",
            "/openai/v1/chat/completions",
            self.chat,
            "openai",
            "Ask a twin (OpenAI chat completions)",
            ChatRequest,
        )
        return [
            chat,
            Route("POST", "/v1/chat/completions", self.chat, "openai", chat.summary, ChatRequest),
            Route("GET", "/openai/v1/models", self.list_models, "openai", "The twins, as OpenAI models"),
            Route("POST", "/v1/models/{name}:predict", self.predict_v1, "kserve", "KServe v1", V1Request),
            Route("POST", "/v2/models/{name}/infer", self.infer_v2, "kserve", "KServe v2", V2Request),
            Route("GET", "/healthz", self.live, "page", "Liveness", scope=""),
            Route("GET", "/readyz", self.ready, "page", "Readiness: index and predictor answer", scope=""),
            Route("GET", "/twins", self.list_twins, "page", "The twins and their variants"),
            *(Route("GET", p, self.page, "page", "The chat page", scope="") for p in PAGE_FILES),
        ]

    async def chat(self, call: Call) -> None:
        """OpenAI chat completions, whole or streamed."""
        value = parse_json(await call.read_body(MAX_BODY))
        request = validate(value, ChatRequest)
        options = validate(value.get("twin") or {}, TwinOptions) if isinstance(value, dict) else TwinOptions()
        twin = self.find(request.model)
        asked = asked_from_chat(request, options, call.request_id)
        if request.stream:
            await stream_chat(call, request, asked, twin, self.parts)
            return
        prepared = await prepare(asked, twin, self.parts)
        draft = await generate(prepared, self.parts)
        texts: list[str | None] = list(draft.texts) if draft else [None] * request.n
        answers = [await conclude(prepared, text, self.parts) for text in texts]
        finishes = [
            f if a.status == "generated" else "stop"
            for f, a in zip(draft.finishes if draft else ["stop"] * len(answers), answers, strict=True)
        ]
        asked_tokens = draft.prompt_tokens if draft else count_tokens(asked.question)
        written = draft.completion_tokens if draft else sum(count_tokens(a.text) for a in answers)
        usage = usage_of(asked_tokens, written)
        await call.send_json(chat_completion(answers, finishes, usage, request.model or twin.name, twin))

    async def predict_v1(self, call: Call) -> None:
        """KServe v1: each instance one question."""
        twin = self.find(call.parameters["name"])
        request = parse_body(await call.read_body(MAX_BODY), V1Request)
        asked = [asked_from_instance(instance, call.request_id) for instance in request.instances]
        answers, _ = await self.models[twin.name](asked, headers={"x-request-id": call.request_id})
        await call.send_json({"predictions": [v1_prediction(answer, twin) for answer in answers]})

    async def infer_v2(self, call: Call) -> None:
        """KServe v2: each element of the tensor `question` one question."""
        twin = self.find(call.parameters["name"])
        request = parse_body(await call.read_body(MAX_BODY), V2Request)
        asked = asked_from_v2(request, call.request_id)
        answers, _ = await self.models[twin.name](asked, headers={"x-request-id": call.request_id})
        details = [_to_json(v1_prediction(answer, twin)) for answer in answers]
        outputs = {
            "answer": [a.text for a in answers],
            "status": [a.status for a in answers],
            "details": details,
        }
        await call.send_json(
            {
                "model_name": twin.name,
                "model_version": twin.release or None,
                "id": request.id or call.request_id,
                "parameters": {"disclosure": twin.disclosure},
                "outputs": [
                    {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data}
                    for name, data in outputs.items()
                ],
            }
        )

    async def handle(self, name: str, asked: list[Asked]) -> list[Answer]:
        """The predict step of a KServe model: all questions of one request at once."""
        twin = self.find(name)
        return list(await asyncio.gather(*(answer_question(one, twin, self.parts) for one in asked)))

    async def list_models(self, call: Call) -> None:
        """The twins as OpenAI models."""
        data = [
            {"id": name, "object": "model", "created": self.started, "owned_by": twin.author.id}
            for name, twin in self.twins.items()
        ]
        await call.send_json({"object": "list", "data": data})

    async def list_twins(self, call: Call) -> None:
        """What the page shows of each twin."""
        twins = [
            {
                "name": twin.name,
                "author": twin.author.name,
                "variants": list(twin.variants),
                "disclosure": twin.disclosure,
                "release": twin.release,
            }
            for twin in self.twins.values()
        ]
        await call.send_json({"twins": twins})

    async def live(self, call: Call) -> None:
        """The process answers."""
        await call.send_json({"status": "alive"})

    async def ready(self, call: Call) -> None:
        """Index and predictor answer, and no SIGTERM has come."""
        problem = "it is stopping" if self.stopping else await self.problem()
        await call.send_json({"ready": not problem, "problem": problem}, 503 if problem else 200)

    async def problem(self) -> str:
        """Why this server is not ready; empty when it is."""
        if self.parts.predictor is not None:
            try:
                await self.parts.predictor.models()
            except Exception as error:  # noqa: BLE001 - readiness reports whatever is wrong
                return f"predictor: {error}"
        if self.parts.retrieve is not None:
            twin = next(iter(self.twins.values()))
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(self.parts.pool, self.parts.retrieve, "ready", twin, 1)
            except Exception as error:  # noqa: BLE001 - readiness reports whatever is wrong
                return f"index: {error}"
        return ""

    async def page(self, call: Call) -> None:
        """The chat page's files."""
        name = PAGE_FILES[call.path]
        body = (resources.files("llm_twin.serving") / "page" / name).read_bytes()
        call.sent_headers.extend(PAGE_HEADERS)
        await call.send_bytes(200, PAGE_TYPES[name.rsplit(".", 1)[1]], body)


def _to_json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()
