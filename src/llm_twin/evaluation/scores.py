"""What an evaluation found: one record, read by the report, the registry and the gate.

Follows from the answers alone, so the same answers give the same file to the last digit. The one clock time in it,
how long the whole twin took for a question, is part of the answers.
"""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_twin.errors import InputError
from llm_twin.evaluation.behaviours import BehaviourFinding
from llm_twin.evaluation.harness import TaskScore
from llm_twin.evaluation.judge import JudgeScores
from llm_twin.evaluation.judge_pairs import PairScores
from llm_twin.evaluation.known_items import RetrievalScores
from llm_twin.evaluation.memorisation import Memorisation
from llm_twin.evaluation.perplexity import Perplexity
from llm_twin.evaluation.sets import SetScores
from llm_twin.evaluation.statistics import Difference, Interval, compare_pairs
from llm_twin.evaluation.voice.verdict import Voice


class Output(BaseModel):
    """What each candidate wrote for one prompt, beside what the author wrote."""

    sample_id: str
    document_id: str
    prompt: str
    reference: str
    texts: dict[str, str]  # candidate → text


class Reply(BaseModel):
    """What each candidate answered to a question with sources."""

    question_id: str
    question: str
    passages: list[str]  # texts of the sources
    texts: dict[str, str]  # candidate → text


class RagasScores(BaseModel):
    """ragas' judged metrics of one candidate; what the judge did not answer is missing, not 0."""

    values: dict[str, dict[str, float]]  # metric → question → value
    asked: int
    missing: dict[str, int]  # kind of failure → how many


class Scores(BaseModel):
    """All that one evaluation measured. Dictionaries by candidate keep the order base, sft, dpo, quantized."""

    model_config = ConfigDict(extra="forbid")

    author: str
    index: str  # digest of the index that retrieval was asked of
    candidates: list[str]
    samples: int
    perplexity: dict[str, Perplexity] = {}
    retrieval: RetrievalScores | None = None
    contexts: dict[str, Interval] = {}
    texts: dict[str, dict[str, Interval]] = {}  # candidate → metric → interval
    voice: dict[str, Voice] = {}
    memorisation: dict[str, Memorisation] = {}
    measures: dict[str, dict[str, dict[str, float]]] = {}  # measure → candidate → prompt → value
    comparisons: dict[str, list[Difference]] = {}  # measure → pairs of candidates
    outputs: list[Output] = []
    replies: list[Reply] = []
    behaviours: list[BehaviourFinding] = []  # of the whole twin around the gate's candidate
    sets: dict[str, dict[str, SetScores]] = {}  # question set → candidate
    benchmarks: dict[str, dict[str, TaskScore]] = {}  # candidate → task/metric
    judge: dict[str, JudgeScores] = {}  # candidate, and the author
    pairs: dict[str, PairScores] = {}  # which two, by which judge
    ragas: dict[str, RagasScores] = {}
    wanted_effects: dict[str, float] = {}  # measure → difference worth finding
    notes: list[str] = []  # what could not be measured, and what would be enough

    def headline(self) -> dict[str, float]:
        """The figures by name, flat: for MLflow, the KFP metrics artifact and tables."""
        figures: dict[str, float] = {}
        for name, found in self.perplexity.items():
            figures[f"perplexity_{name}"] = found.perplexity
        if self.retrieval is not None:
            for k, interval in self.retrieval.recall.items():
                figures[f"recall_at_{k}"] = interval.mean
            figures["mrr"] = self.retrieval.mrr.mean
            figures["ndcg"] = self.retrieval.ndcg.mean
        for name, interval in self.contexts.items():
            figures[name] = interval.mean
        for candidate, metrics in self.texts.items():
            for name, interval in metrics.items():
                figures[f"{name}_{candidate}"] = interval.mean
        for measure, candidates in self.measures.items():
            for candidate, values in candidates.items():
                if values and candidate in self.candidates:
                    figures[f"{measure}_{candidate}"] = math.fsum(values.values()) / len(values)
        for finding in self.behaviours:
            figures[f"behaviour_{finding.check.replace(' ', '_')}"] = finding.passed / max(finding.cases, 1)
        for candidate, tasks in self.benchmarks.items():
            for task, score in tasks.items():
                figures[f"{task}_{candidate}"] = score.value
        for name, judged in self.judge.items():
            if name in self.candidates:
                figures[f"judge_missing_{name}"] = float(sum(judged.missing.values()))
        return figures

    def compare(self) -> None:
        """Fill `comparisons`: every pair of candidates on every measure, corrected within a measure."""
        for measure, candidates in self.measures.items():
            values = {name: candidates[name] for name in self.candidates if name in candidates}
            self.comparisons[measure] = compare_pairs(values)

    def summary(self) -> str:
        """One line: held-out perplexity along the way, and how often retrieval finds what is asked for."""
        way = " → ".join(f"{found.perplexity:.0f} ({name})" for name, found in self.perplexity.items())
        parts = [f"held-out perplexity {way}"] if way else []
        if self.retrieval is not None and self.retrieval.recall:
            k, recall = max(self.retrieval.recall.items(), key=lambda item: int(item[0]))
            parts.append(f"recall@{k} {recall.mean:.2f}")
        return "; ".join(parts) or "nothing could be measured"


def read_scores(path: str | Path) -> Scores:
    """Read a scores file. Raises InputError when it is missing or not one."""
    try:
        return Scores.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} is no scores file: {error}", "give the file that evaluate_twin wrote") from error


def write_scores(path: str | Path, scores: Scores) -> None:
    """Write `scores` beside `path` and then in its place."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    beside.write_text(scores.model_dump_json(indent=1), encoding="utf-8")
    beside.replace(target)
