"""Multiple choice: custom domain sets from YAML or CSV, answered by generation or by log-probabilities."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from llm_twin.errors import InputError
from llm_twin.evaluation.likelihood import generate_texts, score_completions
from llm_twin.evaluation.statistics import Interval

LETTERS = "ABCDEFGHIJ"
Method = Literal["generation", "log_probability"]
Question = TypeVar("Question", bound=BaseModel)


class ChoiceQuestion(BaseModel):
    """A question with two to ten choices; `answer` is the right one's letter or text."""

    question: str = Field(min_length=1)
    choices: list[str] = Field(min_length=2, max_length=len(LETTERS))
    answer: str
    subject: str = ""

    @model_validator(mode="after")
    def _known_answer(self) -> ChoiceQuestion:
        if self.right < 0:
            raise ValueError(f"the answer {self.answer!r} is none of the choices")
        return self

    @property
    def right(self) -> int:
        """Position of the right choice; -1 where there is none."""
        if self.answer in self.choices:
            return self.choices.index(self.answer)
        letter = LETTERS.find(self.answer.strip().upper()) if len(self.answer.strip()) == 1 else -1
        return letter if 0 <= letter < len(self.choices) else -1


class ChoiceScores(BaseModel):
    """Accuracy over questions with Wilson's interval (1927), and what chance would give."""

    accuracy: Interval
    chance: float
    answered: int  # generations in which a choice could be read; log-probabilities always choose
    chosen: list[int]  # position for each question; -1: none could be read, counted wrong
    by_subject: dict[str, float]


def read_choices(path: Path) -> list[ChoiceQuestion]:
    """Read questions from YAML (a list of mappings) or CSV (question, answer, subject, choice columns A, B, …).

    Raises InputError that names the file and the question that does not fit.
    """
    return read_questions(path, ChoiceQuestion)


def read_questions(path: Path, kind: type[Question]) -> list[Question]:
    """Read a set of questions of one kind from YAML or CSV. Raises InputError that names file and question."""
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows: Any = [_from_csv(row) for row in csv.DictReader(file)]
        else:
            rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, csv.Error) as error:
        raise InputError(f"cannot read the questions of {path}: {error}", "give a YAML or CSV file") from error
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path} holds no list of questions", f"each needs {', '.join(_required(kind))}")
    questions = []
    for number, row in enumerate(rows, start=1):
        try:
            questions.append(kind.model_validate(row))
        except ValidationError as error:
            raise InputError(f"{path}, question {number}: {error.errors()[0]['msg']}", "mend the question") from error
    return questions


def _required(kind: type[BaseModel]) -> list[str]:
    return [name for name, field in kind.model_fields.items() if field.is_required()]


def _from_csv(row: dict[str, str]) -> dict[str, Any]:
    choices = [row[letter] for letter in LETTERS if row.get(letter)]
    rest = {key: row[key] for key in ("question", "answer", "subject", "reference") if row.get(key)}
    return {"choices": choices, **rest} if choices else rest


def ask_choices(
    model: Any, tokenizer: Any, questions: Sequence[ChoiceQuestion], method: Method, normalise: bool = True
) -> ChoiceScores:
    """Let a model choose.

    By log-probability the choice whose text is most likely after the question is taken, per character when
    `normalise` (longer choices are less likely by their length alone). By generation the letter is read from what the
    model writes.
    """
    if method == "log_probability":
        losses = [loss for loss, _ in score_completions(model, tokenizer, choice_pairs(questions))]
        return score_choices(questions, choose_likeliest(questions, losses, normalise))
    texts = generate_texts(model, tokenizer, choice_conversations(questions), max_new_tokens=12)
    return score_choices(questions, [read_choice(text, q) for text, q in zip(texts, questions, strict=True)])


def score_choices(questions: Sequence[ChoiceQuestion], chosen: Sequence[int]) -> ChoiceScores:
    """Accuracy of the chosen positions (-1: none could be read)."""
    right = [float(pick == question.right) for pick, question in zip(chosen, questions, strict=True)]
    subjects: dict[str, list[float]] = {}
    for question, hit in zip(questions, right, strict=True):
        subjects.setdefault(question.subject or "all", []).append(hit)
    return ChoiceScores(
        accuracy=wilson_interval(int(sum(right)), len(right)),
        chance=math.fsum(1 / len(question.choices) for question in questions) / len(questions),
        answered=sum(pick >= 0 for pick in chosen),
        chosen=list(chosen),
        by_subject={name: sum(hits) / len(hits) for name, hits in subjects.items()},
    )


def choice_pairs(questions: Sequence[ChoiceQuestion]) -> list[tuple[list[dict[str, str]], str]]:
    """Each question with each of its choices, as conversations and completions to score."""
    return [
        ([{"role": "user", "content": question.question}], choice)
        for question in questions
        for choice in question.choices
    ]


def choose_likeliest(questions: Sequence[ChoiceQuestion], losses: Sequence[float], normalise: bool = True) -> list[int]:
    """The choice of the smallest loss for each question; `losses` in the order of `choice_pairs`, in nats."""
    given = iter(losses)
    chosen = []
    for question in questions:
        costs = [next(given) / (max(len(choice), 1) if normalise else 1) for choice in question.choices]
        chosen.append(costs.index(min(costs)))
    return chosen


def choice_conversations(questions: Sequence[ChoiceQuestion]) -> list[list[dict[str, str]]]:
    """Each question with its lettered choices, to be answered with a letter."""
    conversations = []
    for question in questions:
        listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices, strict=False))
        content = f"{question.question}\n{listed}\nAnswer with the letter of the right choice only."
        conversations.append([{"role": "user", "content": content}])
    return conversations


def read_choice(text: str, question: ChoiceQuestion) -> int:
    """The choice that a text names: by its letter, or by being the only choice it quotes; -1 if neither."""
    stripped = text.strip()
    letter = re.match(r"[\s(\[*\"']*([A-J])(?:[\s).\]*:,\"']|$)", stripped)
    if letter is None:
        letter = re.search(r"(?:answer|option|choice)(?:\s+is)?\s*[:(*\"]*\s*([A-J])\b", stripped)
    if letter is not None and LETTERS.index(letter.group(1)) < len(question.choices):
        return LETTERS.index(letter.group(1))
    quoted = [n for n, choice in enumerate(question.choices) if choice.lower() in stripped.lower()]
    return quoted[0] if len(quoted) == 1 else -1


def wilson_interval(hits: int, count: int, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval, which holds near 0 and 1 where the normal one does not."""
    from scipy.stats import norm

    share, z = hits / count, float(norm.ppf((1 + level) / 2))
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Interval(
        mean=share,
        low=middle - half,
        high=middle + half,
        deviation=math.sqrt(share * (1 - share)),
        median=round(share),
        count=count,
        level=level,
    )
