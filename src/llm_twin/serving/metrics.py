"""The transformer's metrics for Prometheus; KServe serves them, with its own, at /metrics.

llm_twin_requests_total{route,status}, llm_twin_request_seconds{route}, llm_twin_answers_total{status}
(generated, extracted, refused), llm_twin_hop_seconds{hop}, llm_twin_hedges_total{winner} (requests sent to the
predictor twice, and which of the two answered: first, second, or failed: neither). Alerts, dashboards and canary
analysis read these names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Histogram

_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
REQUESTS = Counter("llm_twin_requests_total", "Requests answered, by route and HTTP status.", ["route", "status"])
SECONDS = Histogram("llm_twin_request_seconds", "Seconds from a request to its last byte.", ["route"], buckets=_BUCKETS)
ANSWERS = Counter("llm_twin_answers_total", "Answers by how they came about.", ["status"])
HOPS = Histogram("llm_twin_hop_seconds", "Seconds that each hop of an answer took.", ["hop"], buckets=_BUCKETS)
HEDGES = Counter("llm_twin_hedges_total", "Requests sent to the predictor twice, by which one answered.", ["winner"])


def observe_request(route: str, status: int, seconds: float) -> None:
    """Count one request; `route` is the path's pattern, so that names in paths make no new series."""
    REQUESTS.labels(route, str(status or 499)).inc()  # 0: the client left before the answer began
    SECONDS.labels(route).observe(seconds)


def counted(record: Callable[[Any], object]) -> Callable[[Any], None]:
    """`record` (which takes a request's trace), with the answer and its hops counted first."""

    def count_and_record(trace: Any) -> None:
        ANSWERS.labels(trace.status).inc()
        for hop in trace.hops:
            HOPS.labels(hop.name).observe(hop.seconds)
        record(trace)

    return count_and_record
