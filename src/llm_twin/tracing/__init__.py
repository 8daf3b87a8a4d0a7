"""Traces of requests: what was asked, what was retrieved, what was answered, and the time of each hop.

    recorder = start_tracing("sqlite:///…/mlflow.db")
    recorder.record(TraceRecord(…))     # returns at once; a thread writes
    recorder.close()
    records = read_traces("sqlite:///…/mlflow.db")

The public face is here; `experiments` opens an MLflow experiment in the one safe way that all stages share.
"""

from llm_twin.tracing.experiments import open_experiment
from llm_twin.tracing.reading import read_traces
from llm_twin.tracing.recorder import TraceRecorder, start_tracing
from llm_twin.tracing.records import Hop, TracedHit, TraceRecord, new_trace_id

__all__ = [
    "Hop",
    "TraceRecord",
    "TraceRecorder",
    "TracedHit",
    "new_trace_id",
    "open_experiment",
    "read_traces",
    "start_tracing",
]
