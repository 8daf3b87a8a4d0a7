"""Judges over HTTP: one that fails one call in five, one that prefers the first place, one that prefers length."""

import re

import pytest

from llm_twin.evaluation.judge import Judged, agree, grade_answers
from llm_twin.evaluation.judge_pairs import Pair, compare_answers
from llm_twin.llm import LlmClient
from llm_twin.recipes import LlmRecipe
from tests.integration.stub_llm import REFUSALS, stub_llm

HASTY = LlmRecipe(temperature=0, retries=0, timeout_seconds=1.5, concurrency=4)  # a fault hangs for 2 s
RECIPE = HASTY.model_copy(update={"timeout_seconds": 60})


def read_quality(prompt: str) -> int:
    """The stub grades what the answer says of itself."""
    return int(re.search(r"quality (\d)", prompt).group(1))


def grade_honestly(prompt):
    quality = read_quality(prompt)
    return {"reason": "as it says", "grades": {"accuracy": quality, "style": 4 - quality}}


def make_answers(count=60):
    return [
        Judged(f"p{n}", f"What is it, number {n % 5} of 5?", f"quality {1 + n % 3} " + "word " * (n % 7))
        for n in range(count)
    ]


def test_a_judge_that_fails_one_call_in_five_gives_unbiased_grades_and_counts_what_is_missing():
    answers = make_answers()
    truth = {one.prompt_id: read_quality(one.answer) for one in answers}
    with stub_llm(grade_honestly, fault_every=5) as stub:
        scores = grade_answers({"stub": LlmClient(stub.url, "m", HASTY)}, answers)
    assert scores.asked == 60 and scores.answered + sum(scores.missing.values()) == 60
    assert sum(scores.missing.values()) >= 5 and {"timeout", "rate limit"} & set(scores.missing)
    assert all(scores.grades["accuracy"][p] == truth[p] for p in scores.grades["accuracy"])
    assert scores.means["accuracy"].low <= 2.0 <= scores.means["accuracy"].high
    assert abs(scores.means["accuracy"].mean - 2.0) < 0.15  # with zeros for the missing it would be near 1.7
    assert abs(scores.means["style"].mean - 2.0) < 0.15


@pytest.mark.parametrize(
    "fault, kind", [("silence", "timeout"), ("nonsense", "broken JSON"), *((fault, "refused") for fault in REFUSALS)]
)
def test_each_way_of_not_grading_one_in_five_is_counted_by_its_kind_and_moves_no_mean(fault, kind):
    answers = make_answers(30)
    truth = {one.prompt_id: read_quality(one.answer) for one in answers}
    lost = {f"p{n}" for n in range(0, 30, 5)}
    patient = HASTY.model_copy(update={"timeout_seconds": 4, "concurrency": 8})
    with stub_llm(grade_honestly, faults=(fault,), fails=lambda prompt: "number 0 of 5" in prompt) as stub:
        scores = grade_answers({"stub": LlmClient(stub.url, "m", patient)}, answers)
    graded = scores.grades["accuracy"]
    assert graded == {p: truth[p] for p in graded} and lost.isdisjoint(graded)
    assert set(scores.missing) == {kind} and scores.missing[kind] == 30 - scores.answered == 30 - len(graded)
    assert scores.asked == 30 and scores.means["accuracy"].count == scores.answered
    if kind != "timeout":  # a slow machine can lose another
        assert scores.answered == 24 and scores.means["accuracy"].mean == scores.means["style"].mean == 2.0


def test_grades_outside_the_scale_and_criteria_left_out_are_missing_not_clamped():
    def answer(prompt):
        quality = read_quality(prompt)
        return {"grades": {"accuracy": 9 if quality == 1 else 2} | ({"style": 2} if quality != 2 else {})}

    with stub_llm(answer, fault_every=0) as stub:
        scores = grade_answers({"stub": LlmClient(stub.url, "m", RECIPE)}, make_answers(9))
    assert scores.missing == {"wrong fields": 3, "a criterion left out": 3} and scores.answered == 3


def test_a_jury_is_the_mean_of_those_that_replied_and_its_agreement_with_people_is_measured():
    answers = make_answers(30)
    with (
        stub_llm(grade_honestly, fault_every=0) as honest,
        stub_llm(lambda prompt: {"grades": {"accuracy": 3, "style": 3}}, fault_every=0) as flatterer,
    ):
        jury = {"honest": LlmClient(honest.url, "m", RECIPE), "flatterer": LlmClient(flatterer.url, "m", RECIPE)}
        scores = grade_answers(jury, answers)
    assert scores.grades["accuracy"]["p0"] == 2.0  # (1 + 3) / 2
    people = {one.prompt_id: read_quality(one.answer) for one in answers}
    assert agree(people, scores.by_judge["honest"]["accuracy"]) == (1.0, 30)
    assert agree(people, scores.by_judge["flatterer"]["accuracy"])[0] == pytest.approx(0.0)


def make_pairs(count=20):
    return [Pair(f"p{n}", "Which?", "quality 1 short", "quality 3 and a good deal longer") for n in range(count)]


def prefer_quality(prompt):
    first, second = re.findall(r"quality (\d)", prompt)
    return {"reason": "", "better": "A" if first > second else "B"}


def test_both_orders_are_asked_and_a_fair_judge_has_no_position_bias():
    with stub_llm(prefer_quality, fault_every=0) as stub:
        scores = compare_answers(LlmClient(stub.url, "m", RECIPE), make_pairs(), "accuracy")
    assert scores.asked == 40 and scores.win_rate.mean == 1.0
    assert scores.position_bias == 0 and scores.inconsistent == 0 and scores.longer_preferred == 1.0


def test_a_judge_that_always_takes_the_first_is_measured_and_decides_nothing():
    with stub_llm(lambda prompt: {"better": "A"}, fault_every=0) as stub:
        scores = compare_answers(LlmClient(stub.url, "m", RECIPE), make_pairs(), "style")
    assert scores.win_rate.mean == 0.5 and scores.position_bias == 0.5 and scores.inconsistent == 20


def test_pairs_with_a_missing_reply_are_left_out_and_counted():
    with stub_llm(prefer_quality, fault_every=5) as stub:
        scores = compare_answers(LlmClient(stub.url, "m", HASTY), make_pairs(40), "accuracy")
    assert len(scores.wins) < 40 and sum(scores.missing.values()) > 0
    assert scores.win_rate.mean == 1.0
