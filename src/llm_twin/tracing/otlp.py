"""Requests as OpenTelemetry spans to a collector, beside MLflow: the same ids, the same hops and times.

Needs the extra `otel`. No text of a question or an answer leaves this way: a collector has many readers. The SDK's
batch processor sends in a thread of its own and drops what a collector that is away cannot take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_twin.errors import InputError
from llm_twin.tracing.records import TraceRecord

NANOSECONDS = 1_000_000_000
TIMEOUT_SECONDS = 5


class SpanSender:
    """Sends a root span and a span for each hop; `close` sends what is left."""

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        except ImportError as error:
            raise InputError(
                f"no OpenTelemetry here: {error}", "pip install 'llm-twin[otel]', or unset OTEL_EXPORTER_OTLP_ENDPOINT"
            ) from error

        class OurIds(RandomIdGenerator):
            """The next trace gets the id that the answer and the logs already carry."""

            next_trace = 0

            def generate_trace_id(self) -> int:
                return self.next_trace

        self._ids = OurIds()
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_SECONDS)
        self._provider = TracerProvider(
            id_generator=self._ids, resource=Resource.create({"service.name": "llm-twin-transformer"})
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("llm_twin.serving")

    def record(self, trace: TraceRecord) -> None:
        """One request; called from the event loop alone, so that the id is the right one."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        begun = int(trace.started.timestamp() * NANOSECONDS)
        self._ids.next_trace = int(trace.trace_id, 16)
        attributes: dict[str, Any] = {
            "llm_twin.author": trace.author,
            "llm_twin.status": trace.status,
            "gen_ai.request.model": trace.model,
            "llm_twin.passages": len(trace.hits),
        }
        attributes |= {f"llm_twin.prompt.{name}": version for name, version in trace.prompts.items()}
        if trace.supported_share is not None:
            attributes["llm_twin.supported_share"] = trace.supported_share
        root = self._tracer.start_span("ask", start_time=begun, attributes=attributes)
        inside = set_span_in_context(root)
        for hop in trace.hops:
            start = begun + int(hop.start_seconds * NANOSECONDS)
            span = self._tracer.start_span(hop.name, context=inside, start_time=start)
            span.end(start + int(hop.seconds * NANOSECONDS))
        if trace.error:
            root.set_status(Status(StatusCode.ERROR, trace.error))
        root.end(begun + int(trace.seconds * NANOSECONDS))

    def close(self) -> None:
        """Send what is left, and end."""
        self._provider.shutdown()


def both(first: Callable[[TraceRecord], object], second: Callable[[TraceRecord], object]) -> Callable[..., None]:
    """A function that hands a trace to both."""

    def hand_over(trace: TraceRecord) -> None:
        first(trace)
        second(trace)

    return hand_over
