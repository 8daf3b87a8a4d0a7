"""Which requests a window of answers is compared with."""

from __future__ import annotations

from collections.abc import Collection

from llm_twin.evaluation.mlflow_log import latest_scores
from llm_twin.monitoring.observations import Observation, from_scores, from_traces
from llm_twin.tracing import read_traces


def find_reference(
    tracking_uri: str, author: str, window: int, current_trace_ids: Collection[str]
) -> tuple[list[Observation], str]:
    """The author's last `window` traced requests before these; else the last evaluation's texts; else none.

    Returns the observations and a word on where they are from.
    """
    current = set(current_trace_ids)
    earlier = [
        trace
        for trace in read_traces(tracking_uri, author=author, limit=window + len(current))
        if trace.trace_id not in current
    ]
    observations = from_traces(earlier[-window:])
    if observations:
        return observations, "earlier requests"
    scores = latest_scores(tracking_uri, author)
    if scores is not None:
        return from_scores(scores), "the evaluation's texts: no earlier requests"
    return [], "nothing to compare with yet"
