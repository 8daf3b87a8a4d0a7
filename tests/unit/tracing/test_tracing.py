import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from llm_twin.tracing import Hop, TracedHit, TraceRecord, new_trace_id, read_traces, start_tracing


def make_trace(number: int, author: str = "a-b") -> TraceRecord:
    return TraceRecord(
        trace_id=new_trace_id(),
        started=datetime(2026, 5, 1, tzinfo=UTC) + timedelta(minutes=number),
        seconds=0.5,
        author=author,
        query=f"question {number} about “tides”?",
        hits=[TracedHit(chunk_id="c1", url="http://x.example/1", score=0.7, dense_score=0.6, sparse_score=3.0)],
        answer="An answer.",
        status="generated",
        supported_share=1.0,
        model="m",
        hops=[
            Hop(name="retrieve", start_seconds=0, seconds=0.1),
            Hop(name="generate", start_seconds=0.1, seconds=0.4),
        ],
    )


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    recorder = start_tracing(uri)
    sent = [make_trace(number) for number in range(8)] + [make_trace(8, author="other")]
    took = []
    for trace in sent:
        begun = time.perf_counter()
        assert recorder.record(trace)
        took.append(time.perf_counter() - begun)
    recorder.close(60)
    return uri, sent, recorder, took


def test_traces_come_back_as_they_went_in(traced):
    uri, sent, recorder, _ = traced
    assert recorder.written == len(sent) and recorder.failed == recorder.dropped == 0
    assert read_traces(uri) == sent


def test_traces_are_found_by_author_time_and_limit(traced):
    uri, sent, _, _ = traced
    assert read_traces(uri, author="other") == sent[-1:]
    assert read_traces(uri, author="a-b", since=sent[5].started) == sent[5:8]
    assert read_traces(uri, author="a-b", limit=3) == sent[5:8]


def test_spans_hold_each_hop_with_its_own_time(traced):
    uri, sent, _, _ = traced
    import mlflow

    mlflow.set_tracking_uri(uri)
    experiment = mlflow.get_experiment_by_name("llm-twin-requests")
    trace = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list", max_results=1)[0]
    spans = {span.name: span for span in trace.data.spans}
    assert set(spans) == {"ask", "retrieve", "generate"}
    assert spans["generate"].end_time_ns - spans["generate"].start_time_ns == 400_000_000
    assert spans["generate"].start_time_ns - spans["ask"].start_time_ns == 100_000_000
    assert spans["retrieve"].outputs[0]["metadata"]["score"] == 0.7


def test_recording_costs_the_request_no_time(traced):
    assert max(traced[3]) < 0.005  # while the writer's thread imports MLflow and makes the database


def test_full_queue_drops_and_counts(tmp_path):
    recorder = start_tracing(f"sqlite:///{tmp_path}/m.db", capacity=1)
    kept = [recorder.record(make_trace(number)) for number in range(5)]
    recorder.close(60)
    assert recorder.dropped == kept.count(False) > 0
    assert recorder.written == kept.count(True)


def test_a_store_that_cannot_be_written_is_counted_not_raised(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    recorder = start_tracing(f"sqlite:///{blocked}/m.db")
    assert recorder.record(make_trace(1))
    recorder.close(60)
    assert (recorder.written, recorder.failed) == (0, 1)


def test_importing_the_package_does_not_import_mlflow():
    code = "import llm_twin.tracing, sys; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
