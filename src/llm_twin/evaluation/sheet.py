"""A sheet of answers for people to label and for judges to grade: one CSV row an answer.

Columns: prompt_id, candidate, question, answer, sources (apart by a line of ---), and a column for each criterion that
a person fills with 1, 2 or 3, or leaves empty.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_twin.errors import InputError
from llm_twin.evaluation.judge import HIGHEST, LOWEST, Judged, JudgeScores, agree
from llm_twin.evaluation.scores import Scores

COLUMNS = ("prompt_id", "candidate", "question", "answer", "sources")
APART = "\n---\n"


@dataclass(frozen=True)
class Sheet:
    """Answers, and people's labels: criterion → prompt id → 1, 2 or 3."""

    answers: list[Judged]
    labels: dict[str, dict[str, int]]


def write_sheet(path: Path, scores: Scores, criteria: Iterable[str], candidates: Sequence[str] = ()) -> int:
    """Write all answers of an evaluation with empty label columns; returns how many."""
    names, wanted = list(candidates) or scores.candidates, list(criteria)
    rows = [
        (f"{o.sample_id}/{name}", name, o.prompt, o.texts[name], o.reference)
        for o in scores.outputs
        for name in names
        if name in o.texts
    ] + [
        (f"{r.question_id}/{name}", name, r.question, r.texts[name], APART.join(r.passages))
        for r in scores.replies
        for name in names
        if name in r.texts
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, *wanted])
        writer.writerows([*row, *("" for _ in wanted)] for row in rows)
    return len(rows)


def read_sheet(path: Path, criteria: Iterable[str]) -> Sheet:
    """Read a sheet; only question and answer are needed. Raises InputError that names the row."""
    answers: list[Judged] = []
    labels: dict[str, dict[str, int]] = {name: {} for name in criteria}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the sheet {path}: {error}", "give a CSV file in UTF-8") from error
    if not rows or not {"question", "answer"} <= set(rows[0]):
        raise InputError(f"{path} has no columns question and answer", "`twin evaluate sheet` writes one to fill in")
    for number, row in enumerate(rows, start=2):
        prompt = row.get("prompt_id") or f"row{number}"
        answers.append(Judged(prompt, row["question"], row["answer"] or "", (row.get("sources") or "").split(APART)))
        for name, given in labels.items():
            label = (row.get(name) or "").strip()
            if not label:
                continue
            if not label.isdigit() or not LOWEST <= int(label) <= HIGHEST:
                raise InputError(f"{path}, line {number}: {name} is {label!r}", f"{LOWEST} to {HIGHEST}, or empty")
            given[prompt] = int(label)
    return Sheet(answers, {name: given for name, given in labels.items() if given})


def agreement(sheet: Sheet, scores: JudgeScores) -> list[tuple[str, str, float, int]]:
    """(judge, criterion, Cohen's kappa with the labels, how many labels were compared)."""
    return [
        (judge, criterion, *agree(labels, grades.get(criterion, {})))
        for judge, grades in scores.by_judge.items()
        for criterion, labels in sheet.labels.items()
    ]
