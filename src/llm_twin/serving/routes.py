"""The transformer's routes: OpenAI and KServe protocols, health, and what the page needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import orjson

from llm_twin.digests import digest_json
from llm_twin.serving import more_routes
from llm_twin.serving.asking import answer_all
from llm_twin.serving.chat_models import ChatRequest, CompletionRequest, check_single, parse_body, validate
from llm_twin.serving.feedback import Feedback, keep_feedback
from llm_twin.serving.front import Route
from llm_twin.serving.http import Call, HttpError, parse_json
from llm_twin.serving.jobs import JobRequest, Jobs
from llm_twin.serving.protocols import (
    EmbeddingsRequest,
    GenerateRequest,
    RagRequest,
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
from llm_twin.serving.service import MAX_BODY, Service, origin_of
from llm_twin.serving.streaming import stream_chat

PAGE_FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
PAGE_TYPES = {"html": b"text/html; charset=utf-8", "css": b"text/css", "js": b"text/javascript"}
PAGE_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

Endpoint = Callable[[Service, Call], Awaitable[None]]


def list_routes(service: Service) -> list[Route]:
    """All routes of ours."""

    def bound(endpoint: Endpoint) -> Callable[[Call], Awaitable[None]]:
        async def handler(call: Call) -> None:
            service.start_work()
            await endpoint(service, call)

        return handler

    def post(path: str, endpoint: Endpoint, protocol: Any, summary: str, request: Any) -> Route:
        return Route("POST", path, bound(endpoint), protocol, summary, request)

    def get(path: str, endpoint: Endpoint, protocol: Any, summary: str, scope: str = "ask") -> Route:
        return Route("GET", path, bound(endpoint), protocol, summary, None, scope)

    return [
        post("/openai/v1/chat/completions", chat, "openai", "Ask a twin (chat completions)", ChatRequest),
        post("/v1/chat/completions", chat, "openai", "The same", ChatRequest),
        post("/openai/v1/completions", more_routes.complete, "openai", "Ask a twin (completions)", CompletionRequest),
        post("/openai/v1/embeddings", more_routes.embed, "openai", "Vectors of texts", EmbeddingsRequest),
        post("/openai/v1/rag", more_routes.rag, "openai", "A question to an answer and sources", RagRequest),
        get("/openai/v1/models", list_models, "openai", "The twins, as OpenAI models"),
        post("/v1/models/{name}:predict", predict_v1, "kserve", "KServe v1", V1Request),
        post("/v2/models/{name}/infer", infer_v2, "kserve", "KServe v2", V2Request),
        post("/v2/models/{name}/generate", more_routes.generate_v2, "kserve", "KServe generate", GenerateRequest),
        post(
            "/v2/models/{name}/generate_stream",
            more_routes.generate_stream_v2,
            "kserve",
            "KServe generate, streamed",
            GenerateRequest,
        ),
        post("/jobs", submit_job, "page", "Questions to be answered in the background", JobRequest),
        get("/jobs/{job}", job_result, "page", "A job's state and its answers so far"),
        Route("DELETE", "/jobs/{job}", bound(cancel_job), "page", "Cancel a job"),
        post("/feedback", feedback, "page", "A reader's verdict on an answer", Feedback),
        get("/healthz", live, "page", "Liveness", scope=""),
        get("/readyz", ready, "page", "Readiness: index and predictor answer", scope=""),
        get("/twins", list_twins, "page", "The twins and their variants"),
        get("/favicon.ico", no_icon, "page", "There is none", scope=""),
        *(get(path, page, "page", "The chat page", scope="") for path in PAGE_FILES),
    ]


async def chat(service: Service, call: Call) -> None:
    """OpenAI chat completions, whole or streamed."""
    value = parse_json(await call.read_body(MAX_BODY))
    request = validate(value, ChatRequest)
    options = validate(value.get("twin") or {}, TwinOptions)
    twin = service.find(request.model, call)
    asked = asked_from_chat(request, options, origin_of(call))
    if request.stream:
        check_single(request)
        await stream_chat(call, request, asked, twin, service.parts)
        return
    done = await answer_all(asked, twin, service.parts)
    usage = usage_of(
        done.prompt_tokens or count_tokens(asked.question),
        done.completion_tokens or sum(count_tokens(answer.text) for answer in done.answers),
    )
    await call.send_json(chat_completion(done.answers, done.finishes, usage, request.model or twin.name, twin))


async def predict_v1(service: Service, call: Call) -> None:
    """KServe v1: each instance one question."""
    twin = service.find(call.parameters["name"], call)
    model = service.models[twin.name]  # before anything is waited for: a twin that goes still answers this
    request = parse_body(await call.read_body(MAX_BODY), V1Request)
    asked = [asked_from_instance(instance, origin_of(call)) for instance in request.instances]
    answers, _ = await model((twin, asked), headers={"x-request-id": call.request_id})
    await call.send_json({"predictions": [v1_prediction(answer, twin) for answer in answers]})


async def infer_v2(service: Service, call: Call) -> None:
    """KServe v2: each element of the tensor `question` one question."""
    twin = service.find(call.parameters["name"], call)
    model = service.models[twin.name]
    request = parse_body(await call.read_body(MAX_BODY), V2Request)
    asked = asked_from_v2(request, origin_of(call))
    answers, _ = await model((twin, asked), headers={"x-request-id": call.request_id})
    outputs = {
        "answer": [answer.text for answer in answers],
        "status": [answer.status for answer in answers],
        "details": [orjson.dumps(v1_prediction(answer, twin)).decode() for answer in answers],
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


async def list_models(service: Service, call: Call) -> None:
    """The twins as OpenAI models."""
    data = [
        {"id": twin.name, "object": "model", "created": service.started, "owned_by": twin.author.id}
        for twin in service.visible(call)
    ]
    await call.send_json({"object": "list", "data": data})


async def list_twins(service: Service, call: Call) -> None:
    """What the page shows of each twin."""
    twins = [
        {
            "name": twin.name,
            "author": twin.author.name,
            "variants": list(twin.variants),
            "disclosure": twin.disclosure,
            "release": twin.release,
            "version": digest_json(twin.model_dump(mode="json")),  # of all that its answers depend on
        }
        for twin in service.visible(call)
    ]
    await call.send_json({"twins": twins})


def _jobs(service: Service) -> Jobs:
    if service.jobs is None:
        raise HttpError(503, "this server keeps no jobs", code="no_state")
    return service.jobs


async def submit_job(service: Service, call: Call) -> None:
    """Keep a job; the answer says where its state is."""
    given = parse_body(await call.read_body(MAX_BODY), JobRequest)
    twin = service.find(given.model, call)
    job = _jobs(service).submit(call.state.get("key", ""), twin.name, given)
    await call.send_json({**job, "url": f"/jobs/{job['id']}"}, 202)


async def job_result(service: Service, call: Call) -> None:
    """A job's state and its answers so far."""
    await call.send_json(_jobs(service).results(call.state.get("key", ""), call.parameters["job"]))


async def cancel_job(service: Service, call: Call) -> None:
    """Cancel a job."""
    await call.send_json(_jobs(service).cancel(call.state.get("key", ""), call.parameters["job"]))


async def feedback(service: Service, call: Call) -> None:
    """Keep a verdict for review."""
    given = parse_body(await call.read_body(MAX_BODY), Feedback)
    twin = service.find(given.model, call)
    if service.state_dir is None:
        raise HttpError(503, "this server keeps no feedback", code="no_state")
    keep_feedback(service.state_dir / "feedback" / f"{twin.author.id}.jsonl", given, twin.author.id)
    await call.send_json({"kept": True}, 201)


async def live(service: Service, call: Call) -> None:
    """The process answers."""
    await call.send_json({"status": "alive"})


async def ready(service: Service, call: Call) -> None:
    """Index and predictor answer, and no SIGTERM has come."""
    problem = await service.problem()
    await call.send_json({"ready": not problem, "problem": problem}, 503 if problem else 200)


async def no_icon(service: Service, call: Call) -> None:
    """Browsers ask for one; no page of ours has it."""
    await call.send_bytes(204, b"image/x-icon", b"")


async def page(service: Service, call: Call) -> None:
    """The chat page's files."""
    name = PAGE_FILES[call.path]
    body = (resources.files("llm_twin.serving") / "page" / name).read_bytes()
    call.sent_headers.extend(PAGE_HEADERS)
    await call.send_bytes(200, PAGE_TYPES[name.rsplit(".", 1)[1]], body)
