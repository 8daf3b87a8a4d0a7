"""One request as numbers: what drift is looked for in, whether it comes from a trace, an answer or an evaluation."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from llm_twin.documents import Answer
from llm_twin.evaluation.scores import Scores
from llm_twin.tracing import TraceRecord


class Observation(BaseModel):
    """One request. None: not known from where it comes."""

    model_config = ConfigDict(frozen=True)

    query_words: int
    answer_words: int
    status: str | None = None
    supported_share: float | None = None  # of the answer's sentences
    best_score: float | None = None  # of the retrieved passages
    mean_score: float | None = None
    passages: int | None = None
    seconds: float | None = None


def from_traces(traces: Iterable[TraceRecord]) -> list[Observation]:
    """Observations of traced requests; failed ones are left to the error rate."""
    return [
        Observation(
            query_words=len(trace.query.split()),
            answer_words=len(trace.answer.split()),
            status=trace.status,
            supported_share=trace.supported_share,
            best_score=max((hit.score for hit in trace.hits), default=None),
            mean_score=_mean([hit.score for hit in trace.hits]),
            passages=len(trace.hits),
            seconds=trace.seconds,
        )
        for trace in traces
        if trace.status != "failed"
    ]


def from_answers(answers: Iterable[Answer]) -> list[Observation]:
    """Observations of a run's answers. Support is of sentences; scores are of the sources given."""
    return [
        Observation(
            query_words=len(answer.question.split()),
            answer_words=len(answer.text.split()),
            status=answer.status,
            supported_share=_mean([float(sentence.supported) for sentence in answer.sentences]),
            best_score=max((source.score for source in answer.sources), default=None),
            mean_score=_mean([source.score for source in answer.sources]),
            passages=len(answer.sources),
            seconds=answer.seconds.get("total") or sum(answer.seconds.values()) or None,
        )
        for answer in answers
    ]


def from_scores(scores: Scores, candidate: str | None = None) -> list[Observation]:
    """Observations of an evaluation's texts: lengths only, of the last candidate unless named."""
    name = candidate or (scores.candidates[-1] if scores.candidates else "")
    return [
        Observation(query_words=len(output.prompt.split()), answer_words=len(output.texts[name].split()))
        for output in scores.outputs
        if name in output.texts
    ]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
