"""Reading traces back as records, for drift reports, evaluation and the command line."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from llm_twin.tracing.experiments import open_experiment
from llm_twin.tracing.recorder import EXPERIMENT
from llm_twin.tracing.records import TraceRecord

PAGE = 100
RECORD_ATTRIBUTE = "llm_twin.record"  # the whole TraceRecord, on the root span
TRACE_ID_TAG = "twin_trace_id"


def read_traces(
    tracking_uri: str,
    author: str | None = None,
    since: datetime | None = None,
    limit: int = 1000,
    experiment: str = EXPERIMENT,
) -> list[TraceRecord]:
    """The newest `limit` traces (of one author, not before `since`), oldest first.

    Traces in the experiment that this project did not write are passed over.
    """
    experiment_id = open_experiment(tracking_uri, experiment)
    from mlflow.tracking import MlflowClient

    conditions = []
    if author is not None:
        conditions.append(f"tag.author = '{author}'")
    if since is not None:
        conditions.append(f"timestamp_ms >= {int(since.timestamp() * 1000)}")
    client = MlflowClient(tracking_uri=tracking_uri)
    records: list[TraceRecord] = []
    token: str | None = None
    while len(records) < limit:
        page = client.search_traces(
            locations=[experiment_id],
            filter_string=" AND ".join(conditions) or None,
            max_results=min(PAGE, limit),
            order_by=["timestamp_ms DESC"],
            page_token=token,
        )
        for trace in page:
            record = _read_record(trace)
            if record is not None:
                records.append(record)
        token = page.token
        if not token:
            break
    return records[:limit][::-1]


def _read_record(trace: object) -> TraceRecord | None:
    spans = getattr(getattr(trace, "data", None), "spans", None) or []
    root = next((span for span in spans if span.parent_id is None), None)
    content = root.attributes.get(RECORD_ATTRIBUTE) if root is not None else None
    if not isinstance(content, dict):
        return None
    try:
        return TraceRecord.model_validate(content, strict=False)
    except ValidationError:  # written by another version: its fields are not ours to guess
        return None
