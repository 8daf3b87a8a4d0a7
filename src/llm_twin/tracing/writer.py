"""The process that writes traces to MLflow: `python -m llm_twin.tracing.writer TRACKING_URI EXPERIMENT`.

Reads a TraceRecord a line from its input; answers each with `written` or with the reason why not, in one
line. It ends when its input does, so it never outlives the server that started it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from llm_twin.logs import start_logging
from llm_twin.tracing.experiments import open_experiment
from llm_twin.tracing.reading import RECORD_ATTRIBUTE, TRACE_ID_TAG
from llm_twin.tracing.records import Hop, TraceRecord

NANOSECONDS = 1_000_000_000
SPAN_TYPES = {"retrieve": "RETRIEVER", "embed": "EMBEDDING", "generate": "CHAT_MODEL", "check": "EVALUATOR"}


def main() -> None:
    """Write every trace of the input."""
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")  # answer only when it is written
    os.nice(10)
    start_logging("trace-writer")
    answers = sys.stdout
    sys.stdout = sys.stderr  # nothing that a library prints may pass for an answer
    tracking_uri, experiment = sys.argv[1:3]
    experiment_id = ""
    for line in sys.stdin:
        try:
            experiment_id = experiment_id or open_experiment(tracking_uri, experiment)
            write_trace(TraceRecord.model_validate_json(line), experiment_id)
            answer = "written"
        except Exception as error:  # noqa: BLE001 - the process's edge: the recorder counts and reports it
            answer = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        answers.write(answer + "\n")
        answers.flush()


def write_trace(trace: TraceRecord, experiment_id: str) -> None:
    """One MLflow trace: a root span with the record, and a child span for each hop with its own times."""
    import mlflow

    begun = int(trace.started.timestamp() * NANOSECONDS)
    attributes: dict[str, Any] = {RECORD_ATTRIBUTE: trace.model_dump(mode="json"), "model": trace.model}
    root = mlflow.start_span_no_context(
        "ask",
        span_type="CHAIN",
        inputs={"query": trace.query, "author": trace.author},
        attributes=attributes,
        tags={TRACE_ID_TAG: trace.trace_id, "author": trace.author, "status": trace.status},
        experiment_id=experiment_id,
        start_time_ns=begun,
    )
    for hop in trace.hops:
        _write_hop(root, hop, trace, begun)
    root.set_outputs({"answer": trace.answer, "status": trace.status})
    status = "ERROR" if trace.status == "failed" else "OK"
    root.end(status=status, end_time_ns=begun + int(trace.seconds * NANOSECONDS))


def _write_hop(root: Any, hop: Hop, trace: TraceRecord, begun: int) -> None:
    import mlflow

    start = begun + int(hop.start_seconds * NANOSECONDS)
    kind = SPAN_TYPES.get(hop.name, "CHAIN")
    span = mlflow.start_span_no_context(hop.name, span_type=kind, parent_span=root, start_time_ns=start)
    if hop.name == "retrieve":
        span.set_inputs({"query": trace.query})
        span.set_outputs(
            [
                {
                    "page_content": hit.title,
                    "metadata": {"doc_uri": hit.url, "chunk_id": hit.chunk_id, "score": hit.score},
                }
                for hit in trace.hits
            ]
        )
    elif hop.name == "generate":
        span.set_outputs({"answer": trace.answer})
    span.end(end_time_ns=start + int(hop.seconds * NANOSECONDS))


if __name__ == "__main__":
    main()
