"""Spans on the wire: a collector gets each request with its hops, under the ids that answers carry, and no text."""

from __future__ import annotations

from datetime import UTC, datetime

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llm_twin.tracing.otlp import SpanSender, both
from llm_twin.tracing.records import Hop, TraceRecord, new_trace_id
from tests.span_collector import running_collector


def make_trace(number):
    return TraceRecord(
        trace_id=new_trace_id(), started=datetime.now(UTC), seconds=0.5, author="ada", query="the lamp?",
        answer="Rapeseed oil.", status="generated",
        supported_share=1.0, model=f"m{number}",
        hops=[
            Hop(name="retrieve", start_seconds=0.1, seconds=0.2),
            Hop(name="generate", start_seconds=0.3, seconds=0.1),
        ],
    )  # fmt: skip


def test_a_collector_gets_each_request_with_its_hops_and_no_text():
    with running_collector() as (url, bodies):
        traces, elsewhere = [make_trace(i) for i in range(3)], []
        sender = SpanSender(f"{url}/")
        for trace in traces:
            both(elsewhere.append, sender.record)(trace)
        sender.close()

    spans = [
        span
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    assert elsewhere == traces and len(spans) == 9
    for trace in traces:
        mine = {span.name: span for span in spans if span.trace_id.hex() == trace.trace_id}
        assert set(mine) == {"ask", "retrieve", "generate"}
        assert mine["retrieve"].parent_span_id == mine["ask"].span_id
        took = mine["retrieve"].end_time_unix_nano - mine["retrieve"].start_time_unix_nano
        assert abs(took - 0.2e9) < 1e6
    assert not any(b"lamp" in body or b"Rapeseed" in body for body in bodies)
