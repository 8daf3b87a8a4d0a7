"""A language model as a judge: grades by a rubric, from one model or a jury, with what went missing counted.

The rubric of 1 to 3 for accuracy and style is the LLM Engineer's Handbook's; the temperature is 0. A reply that does
not come, refuses or is no grade is missing: it is counted by its kind and takes no part in any mean, because a grade
of 0 for it would punish the answer for the judge's fault.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field, model_validator

from llm_twin.evaluation.statistics import Interval, mean_interval
from llm_twin.llm import LlmClient, Request
from llm_twin.prompts import render_prompt

RUBRIC = {
    "accuracy": "1: wrong or misleading facts; 2: right with small faults or gaps; 3: right and complete.",
    "style": "1: stiff or generic, not the author's manner; 2: partly theirs; 3: reads as the author writes.",
}
LOWEST, HIGHEST = 1, 3


class Grades(BaseModel):
    """A judge's reply. Grades outside 1 to 3 are no grades."""

    reason: str = ""
    grades: dict[str, int] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_range(self) -> Grades:
        outside = {name: grade for name, grade in self.grades.items() if not LOWEST <= grade <= HIGHEST}
        if outside:
            raise ValueError(f"grades must be {LOWEST} to {HIGHEST}, got {outside}")
        return self


@dataclass(frozen=True)
class Judged:
    """One answer to grade."""

    prompt_id: str
    question: str
    answer: str
    sources: list[str] = field(default_factory=list)


class JudgeScores(BaseModel):
    """Grades of one set of answers."""

    grades: dict[str, dict[str, float]]  # criterion → prompt → mean grade of the jury's members that replied
    means: dict[str, Interval]
    asked: int
    answered: int
    missing: dict[str, int]  # kind of failure → how many
    by_judge: dict[str, dict[str, dict[str, int]]]  # judge → criterion → prompt → grade
    length_bias: dict[str, float]  # criterion → rank correlation of grade and length of the answer


def grade_answers(
    jury: Mapping[str, LlmClient],
    answers: Sequence[Judged],
    criteria: Mapping[str, str] = RUBRIC,
    samples: Sequence[str] = (),
) -> JudgeScores:
    """Let each judge of the jury (name → client, temperature 0 in its recipe) grade each answer once."""
    requests = [
        Request(
            render_prompt(
                "judge_grade",
                question=one.question,
                answer=one.answer,
                sources=one.sources,
                samples=list(samples),
                criteria=dict(criteria),
            )
        )
        for one in answers
    ]
    missing: Counter[str] = Counter()
    by_judge: dict[str, dict[str, dict[str, int]]] = {}
    answered = 0
    for judge, client in jury.items():
        given: dict[str, dict[str, int]] = {name: {} for name in criteria}
        for one, outcome in zip(answers, client.ask_all(requests, Grades, f"judge {judge}"), strict=True):
            grades = outcome.value.grades if outcome.value is not None else {}
            if outcome.value is None:
                missing[outcome.failure] += 1
            elif set(criteria) - set(grades):
                missing["a criterion left out"] += 1
            else:
                answered += 1
                for name in criteria:
                    given[name][one.prompt_id] = grades[name]
        by_judge[judge] = given
    return _summarise(answers, by_judge, criteria, len(requests) * len(jury), answered, missing)


def _summarise(
    answers: Sequence[Judged],
    by_judge: dict[str, dict[str, dict[str, int]]],
    criteria: Mapping[str, str],
    asked: int,
    answered: int,
    missing: Mapping[str, int],
) -> JudgeScores:
    grades: dict[str, dict[str, float]] = {}
    for name in criteria:
        given: dict[str, list[int]] = defaultdict(list)
        for judge in by_judge.values():
            for prompt, grade in judge[name].items():
                given[prompt].append(grade)
        grades[name] = {one.prompt_id: _mean(given[one.prompt_id]) for one in answers if given[one.prompt_id]}
    lengths = {one.prompt_id: len(one.answer.split()) for one in answers}
    return JudgeScores(
        grades=grades,
        means={name: mean_interval(list(values.values())) for name, values in grades.items() if values},
        asked=asked,
        answered=answered,
        missing=dict(missing),
        by_judge=by_judge,
        length_bias={name: _correlate(values, lengths) for name, values in grades.items()},
    )


def agree(labels: Mapping[str, int], grades: Mapping[str, int]) -> tuple[float, int]:
    """Cohen's kappa (1960) of a judge's grades with human labels, over the prompts that have both, and how many.

    1 is agreement, 0 what chance gives; NaN below two common prompts or when neither ever varies.
    """
    common = sorted(set(labels) & set(grades))
    if len(common) < 2:
        return math.nan, len(common)
    ours, theirs = Counter(labels[p] for p in common), Counter(grades[p] for p in common)
    same = sum(labels[p] == grades[p] for p in common) / len(common)
    chance = sum(ours[value] * theirs[value] for value in ours) / len(common) ** 2
    return (math.nan if chance == 1 else (same - chance) / (1 - chance)), len(common)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def _correlate(values: Mapping[str, float], lengths: Mapping[str, int]) -> float:
    """Spearman's rank correlation; 0 where either does not vary."""
    from scipy.stats import spearmanr

    prompts = sorted(values)
    if len({values[p] for p in prompts}) < 2 or len({lengths[p] for p in prompts}) < 2:
        return 0.0
    return float(spearmanr([values[p] for p in prompts], [lengths[p] for p in prompts]).statistic)
