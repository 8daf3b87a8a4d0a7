"""The judged part of an evaluation: grades of every candidate and of the author, pairs in both orders, ragas.

The author's own text is graded as one more candidate: what a judge gives it is the ceiling that a twin can reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from llm_twin.errors import BudgetError, ServiceError
from llm_twin.evaluation.judge import RUBRIC, Judged, grade_answers
from llm_twin.evaluation.judge_pairs import Pair, PairScores, compare_answers
from llm_twin.evaluation.ragas_judge import judge_with_ragas
from llm_twin.evaluation.scores import Output, RagasScores, Reply, Scores
from llm_twin.llm import LlmClient
from llm_twin.progress import report
from llm_twin.recipes import JudgeRecipe

STYLE_SAMPLES = 3  # of the author's paragraphs that a judge is shown


class Jury(BaseModel):
    """The judges (name → client) and what they see of how the author writes."""

    model_config = {"arbitrary_types_allowed": True}

    clients: dict[str, LlmClient]
    samples: list[str]


def add_judgements(
    scores: Scores, jury: Jury, recipe: JudgeRecipe, author: str, challenger: str, encoder: object
) -> None:
    """Add grades, pairs (the challenger against each other candidate) and ragas' judged metrics to `scores`.

    An endpoint that cannot be reached, or a budget that is used up, ends the judging with a note: what has been
    graded by then stays, and the rest of the evaluation is not lost.
    """
    try:
        for name in [*scores.candidates, author]:
            _grade(scores, name, jury, recipe, author)
        if recipe.pairwise:
            _compare(scores, jury, recipe, challenger)
        if recipe.ragas:
            _ask_ragas(scores, next(iter(jury.clients.values())), recipe, encoder)
    except (ServiceError, BudgetError) as error:
        scores.notes.append(f"the judge stopped: {error.message}")
    missing = sum(sum(one.missing.values()) for one in scores.judge.values())
    asked = sum(one.asked for one in scores.judge.values())
    if missing:
        kinds: dict[str, int] = {}
        for one in scores.judge.values():
            for kind, count in one.missing.items():
                kinds[kind] = kinds.get(kind, 0) + count
        listed = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        scores.notes.append(f"judge: {missing} of {asked} grades did not come ({listed}); they count in no mean")


def judged_answers(
    outputs: Sequence[Output], replies: Sequence[Reply], name: str, author: str, most: int
) -> list[Judged]:
    """What is graded of one candidate: what it wrote, with the author's text as source, and its replies with their
    passages; as many of each as there are, `most` together. The author has written no replies."""
    written = [
        Judged(o.sample_id, o.prompt, o.reference if name == author else o.texts.get(name, ""), [o.reference])
        for o in outputs
        if name == author or name in o.texts
    ]
    answered = [Judged(r.question_id, r.question, r.texts[name], r.passages) for r in replies if name in r.texts]
    part = max(most // 2, most - len(answered))
    written = written[:part]
    return [*written, *answered[: most - len(written)]]


def _grade(scores: Scores, name: str, jury: Jury, recipe: JudgeRecipe, author: str) -> None:
    answers = judged_answers(scores.outputs, scores.replies, name, author, recipe.max_answers)
    if not answers:
        return
    report(f"evaluation: {len(jury.clients)} judges grade {len(answers)} answers of {name}")
    found = grade_answers(jury.clients, answers, recipe.criteria or RUBRIC, jury.samples)
    scores.judge[name] = found
    for criterion, grades in found.grades.items():
        if grades:
            scores.measures.setdefault(f"judge_{criterion}", {})[name] = grades


def _compare(scores: Scores, jury: Jury, recipe: JudgeRecipe, challenger: str) -> None:
    """The challenger against each other candidate, by all criteria in one question."""
    last = challenger if challenger in scores.candidates else scores.candidates[-1]
    others = [name for name in scores.candidates if name != last]
    criteria = recipe.criteria or RUBRIC
    criterion = " ".join(f"{name}: {text}" for name, text in criteria.items())
    pairs_of: Mapping[str, list[Pair]] = {
        other: [
            Pair(o.sample_id, o.prompt, o.texts[other], o.texts[last])
            for o in scores.outputs[: recipe.max_answers]
            if other in o.texts and last in o.texts and o.texts[other] != o.texts[last]
        ]
        for other in others
    }
    for judge, client in jury.clients.items():
        for other, pairs in pairs_of.items():
            if pairs:
                found: PairScores = compare_answers(client, pairs, criterion, jury.samples)
                scores.pairs[f"{last} against {other}, by {judge}"] = found


def _ask_ragas(scores: Scores, client: LlmClient, recipe: JudgeRecipe, encoder: object) -> None:
    for name in scores.candidates:
        replies = [reply for reply in scores.replies if reply.texts.get(name)][: recipe.max_answers]
        if not replies:
            continue
        report(f"evaluation: ragas judges {len(replies)} answers of {name}")
        found: RagasScores = judge_with_ragas(client, replies, name, encoder)
        scores.ragas[name] = found
        for metric, values in found.values.items():
            if values:
                scores.measures.setdefault(f"ragas_{metric}", {})[name] = values
