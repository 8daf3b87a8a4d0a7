"""The RAG transformer: one KServe ModelServer for many twins.

    python -m llm_twin.serving.transformer --config server.json --port 8080

The configuration (`twins.ServerConfig`) says which twins, which predictor and which index. Secrets come
from the environment: LLM_TWIN_QDRANT_API_KEY and LLM_TWIN_PREDICTOR_API_KEY; so does OpenTelemetry's own
OTEL_EXPORTER_OTLP_ENDPOINT. It binds 127.0.0.1 unless told
otherwise.
"""

from __future__ import annotations

import argparse
import atexit
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_twin.errors import TwinError
from llm_twin.logs import ContextPool, start_logging
from llm_twin.serving.access import Gatekeeper, check_binding
from llm_twin.serving.answering import Parts
from llm_twin.serving.front import Front
from llm_twin.serving.guardrails.guards import texts_of
from llm_twin.serving.guardrails.memory import Shingles
from llm_twin.serving.guardrails.verdicts import AT_ONCE, Verdicts
from llm_twin.serving.kserve_server import make_model, serve
from llm_twin.serving.metrics import counted
from llm_twin.serving.predictor_client import PredictorClient
from llm_twin.serving.prompt_watch import PromptWatch
from llm_twin.serving.retrieving import RememberingEncoder, make_retrieve, make_still_there
from llm_twin.serving.routes import list_routes
from llm_twin.serving.service import Service
from llm_twin.serving.twins import ServerConfig, Twin, read_server_config
from llm_twin.serving.usage import Usage
from llm_twin.serving.watching import at_release, take_over, watch_versions

logger = logging.getLogger("llm_twin.serving")


def main(arguments: list[str] | None = None) -> None:
    """Read the configuration, warm up, serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="llm_twin.serving.transformer", description=main.__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--drain-seconds", type=float, default=0.0, help="ready is false this long before the end")
    # KServe's controller adds these three to a transformer's arguments.
    parser.add_argument("--model_name", help="the InferenceService's name; the configuration names the twins")
    parser.add_argument("--predictor_host", help="instead of the configuration's predictor")
    parser.add_argument("--http_port", type=int, dest="port", help="the same as --port")
    parser.add_argument("--keys", type=Path, help="file of access keys, as `twin keys` writes it")
    parser.add_argument(
        "--behind-gateway", action="store_true", help="only an authenticating gateway can reach this server"
    )
    parser.add_argument("--max-in-flight", type=int, default=256, help="more get 503 at once")
    parser.add_argument("--per-minute", type=int, default=6000, help="requests by address, where no keys are needed")
    parser.add_argument("--cors-origin", action="append", default=[], help="a web origin that may ask")
    options = parser.parse_args(arguments)
    start_logging("transformer")
    try:
        check_binding(options.host, options.keys, options.behind_gateway)
        config = at_release(read_server_config(options.config), options.predictor_host, dict(os.environ))
        parts, recorder = build_parts(config)
        service = make_service(config, parts)
        usage = Usage(config.state_dir / "usage.db" if config.state_dir else None)
    except TwinError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    prompts = PromptWatch(config.tracking_uri)
    take_over(service, config.twins, prompts)
    watching = (service, options.config, config.twins, prompts)
    threading.Thread(target=watch_versions, args=watching, name="versions", daemon=True).start()
    service.spend = usage.spend
    gatekeeper = Gatekeeper(options.keys, options.per_minute, options.max_in_flight, usage=usage)

    def stop() -> None:
        service.stopping = True

    def start(repository: Any) -> None:
        service.repository = repository

    print(json.dumps({"url": f"http://{options.host}:{options.port}", "pid": os.getpid()}), flush=True)
    serve(
        list(service.models.values()),
        lambda app: Front(list_routes(service), app, gatekeeper, options.cors_origin),
        host=options.host,
        port=options.port,
        predictor_host=urlsplit(config.predictor).netloc,
        drain_seconds=options.drain_seconds,
        on_stop=stop,
        on_start=start,
    )
    usage.close()
    prompts.close()
    if recorder is not None:
        recorder.close(timeout_seconds=15)


def build_parts(config: ServerConfig) -> tuple[Parts, Any]:
    """What answering works with: predictor, encoder, index and the trace recorder (or None)."""
    predictor = None
    if config.predictor:
        predictor = PredictorClient(
            config.predictor.rstrip("/"), api_key=os.environ.get("LLM_TWIN_PREDICTOR_API_KEY", "")
        )
    pool = ContextPool(2, thread_name_prefix="answer")
    parts = Parts(predictor, None, None, pool, verdicts=Verdicts(config.state_dir))
    if config.vectors:
        add_retrieval(parts, config)
    recorder = None
    if config.tracking_uri:
        from llm_twin.tracing import start_tracing

        recorder = start_tracing(config.tracking_uri)
        parts.record = recorder.record
    if endpoint := os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from llm_twin.tracing.otlp import SpanSender, both

        sender = SpanSender(endpoint)
        parts.record = both(parts.record, sender.record)
        atexit.register(sender.close)
    parts.record = counted(parts.record)
    return parts, recorder


def add_retrieval(parts: Parts, config: ServerConfig) -> None:
    """Index and encoder, warmed up."""
    from llm_twin.embedding import load_encoder
    from llm_twin.stores.vectors import VectorIndex

    encoder = RememberingEncoder(load_encoder(config.twins[0].embedder))
    encoder.encode(["warm up"])
    # An index that is away now is no reason not to start: readiness says so, and asks it again each time.
    index = VectorIndex.connect(config.vectors, os.environ.get("LLM_TWIN_QDRANT_API_KEY") or None, probe=False)
    ttl_seconds = min(twin.serving.cache.ttl_seconds for twin in config.twins)
    parts.encoder, parts.retrieve = encoder, make_retrieve(index, encoder, ttl_seconds)
    parts.still_there = make_still_there(index)
    for twin in config.twins:
        guards = parts.guards_of(twin)
        if guards is not None and guards.recipe.injection:
            guards.detector.judge("warm up")
    parts.index = index
    threading.Thread(target=read_passages, args=(parts, index, config.twins), name="passages", daemon=True).start()


def read_passages(parts: Parts, index: Any, twins: list[Twin], wait_seconds: float = 5.0) -> None:
    """Read each author's texts: for the guard against recited ones, and to judge them before anybody asks.

    Runs beside the requests, which do not wait for it; an index that is away is tried again until it is there. It
    rests as long as it works, so that requests have the interpreter half of the time at least.
    """
    for twin in twins:
        guards = parts.guards_of(twin)
        while guards is not None:
            try:
                if guards.recipe.output:
                    texts = (chunk.text for chunk in index.iterate_chunks(twin.author.id))
                    parts.memories[twin.author.id] = Shingles(texts)
                if guards.recipe.documents:
                    read = (text for chunk in index.iterate_chunks(twin.author.id) for text in texts_of(chunk))
                    for batch in batched(read, AT_ONCE):
                        begun = time.monotonic()
                        guards.verdicts.judge(batch, guards.detector)
                        time.sleep(time.monotonic() - begun)
                break
            except TwinError as error:
                logger.warning("the texts of %s cannot be read: %s", twin.author.id, error)
                time.sleep(wait_seconds)


def batched(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    """The texts in lists of `size`."""
    iterator = iter(texts)
    while batch := list(islice(iterator, size)):
        yield batch


def make_service(config: ServerConfig, parts: Parts) -> Service:
    """The twins, each a model of KServe's; the texts of those that come later are read as those of the first were."""

    async def handle(payload: Any, headers: Any) -> Any:
        return await service.handle(*payload)

    async def is_ready() -> bool:
        return not service.stopping

    def read_texts(twins: list[Twin]) -> None:
        if parts.index is not None:
            arguments = (parts, parts.index, twins)
            threading.Thread(target=read_passages, args=arguments, name="passages", daemon=True).start()

    service = Service(
        config.twins, parts, config.state_dir, lambda name: make_model(name, handle, is_ready), read_texts
    )
    return service


if __name__ == "__main__":
    main()
