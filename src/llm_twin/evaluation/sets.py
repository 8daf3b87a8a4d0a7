"""Question sets of one's own: what the candidates are asked for them, and how their answers count.

choice: accuracy beside chance. classification: questions that share their choices, with precision, recall and F1 of
each class too. text: answers against a reference, by word overlap and by how likely the reference is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from llm_twin.errors import InputError
from llm_twin.evaluation.choice import (
    ChoiceQuestion,
    ChoiceScores,
    choice_conversations,
    choice_pairs,
    choose_likeliest,
    read_choice,
    read_questions,
    score_choices,
)
from llm_twin.evaluation.ragas_metrics import measure_texts
from llm_twin.evaluation.statistics import Interval
from llm_twin.recipe_parts import QuestionSet

Messages = list[dict[str, str]]


class ReferenceQuestion(BaseModel):
    """A question with the answer that is wanted."""

    question: str = Field(min_length=1)
    reference: str = Field(min_length=1)
    subject: str = ""


class ClassScores(BaseModel):
    """One class of a classification set; `support` is how many questions have it as their answer."""

    precision: float
    recall: float
    f1: float
    support: int


class SetScores(BaseModel):
    """One candidate on one set."""

    task: str
    method: str
    questions: int
    choice: ChoiceScores | None = None
    classes: dict[str, ClassScores] = {}
    macro_f1: float | None = None
    texts: dict[str, Interval] = {}  # metric → interval over questions
    perplexity: float | None = None  # of the references
    values: dict[str, float]  # question → 1 right, 0 wrong; for texts, ROUGE-L: what candidates are compared by


@dataclass(frozen=True)
class LoadedSet:
    """A set with its questions, of one kind."""

    recipe: QuestionSet
    choices: list[ChoiceQuestion]
    references: list[ReferenceQuestion]

    def pairs(self) -> list[tuple[Messages, str]]:
        """What is scored for it: choices after their questions, or references after theirs."""
        if self.references:
            return [([{"role": "user", "content": one.question}], one.reference) for one in self.references]
        return choice_pairs(self.choices) if self.recipe.method == "log_probability" else []

    def conversations(self) -> list[Messages]:
        """What is answered for it in writing."""
        if self.references:
            return [[{"role": "user", "content": one.question}] for one in self.references]
        return choice_conversations(self.choices) if self.recipe.method == "generation" else []

    def score(self, losses: Sequence[tuple[float, int]], texts: Sequence[str]) -> SetScores:
        """Scores from the losses of `pairs` and the answers to `conversations`, in their order."""
        if self.references:
            return self._score_texts(losses, texts)
        if self.recipe.method == "log_probability":
            chosen = choose_likeliest(self.choices, [loss for loss, _ in losses])
        else:
            chosen = [read_choice(text, question) for text, question in zip(texts, self.choices, strict=True)]
        scores = SetScores(
            task=self.recipe.task,
            method=self.recipe.method,
            questions=len(self.choices),
            choice=score_choices(self.choices, chosen),
            values={f"{n}": float(p == q.right) for n, (p, q) in enumerate(zip(chosen, self.choices, strict=True))},
        )
        if self.recipe.task == "classification":
            scores.classes, scores.macro_f1 = classify(self.choices, chosen)
        return scores

    def _score_texts(self, losses: Sequence[tuple[float, int]], texts: Sequence[str]) -> SetScores:
        metrics, values = measure_texts(texts, [one.reference for one in self.references])
        nats, tokens = math.fsum(loss for loss, _ in losses), sum(count for _, count in losses)
        return SetScores(
            task="text",
            method="generation",
            questions=len(self.references),
            texts=metrics,
            perplexity=math.exp(min(nats / tokens, 700)) if tokens else None,
            values={f"{number}": value for number, value in enumerate(values["rouge_l"])},
        )


def load_set(recipe: QuestionSet) -> LoadedSet:
    """Read a set. Raises InputError: unreadable, changed since the recipe was read, or classes that differ."""
    path = Path(recipe.path)
    anchored = recipe.anchored(path.parent)
    if recipe.digest and anchored.digest != recipe.digest:
        raise InputError(f"the question set {path} has changed since the run began", "start the run again")
    if recipe.task == "text":
        return LoadedSet(recipe, [], read_questions(path, ReferenceQuestion))
    choices = read_questions(path, ChoiceQuestion)
    if recipe.task == "classification" and len({tuple(one.choices) for one in choices}) > 1:
        raise InputError(
            f"{path} is a classification set, but its questions do not share their choices",
            "give all questions the same choices in the same order, or take `task: choice`",
        )
    return LoadedSet(recipe, choices, [])


def classify(questions: Sequence[ChoiceQuestion], chosen: Sequence[int]) -> tuple[dict[str, ClassScores], float]:
    """Precision, recall and F1 of each class, and the mean of the F1s; an unread answer is a wrong one."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = list(range(len(questions[0].choices)))
    truth = [question.right for question in questions]
    found = precision_recall_fscore_support(truth, list(chosen), labels=labels, zero_division=0.0)
    classes = {
        name: ClassScores(precision=float(p), recall=float(r), f1=float(f), support=int(n))
        for name, p, r, f, n in zip(questions[0].choices, *found, strict=True)
    }
    present = [one.f1 for one in classes.values() if one.support] or [0.0]
    return classes, math.fsum(present) / len(present)
