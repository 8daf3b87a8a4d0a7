"""The judged part of an evaluation, over HTTP, with a judge that is honest and one that fails one call in five."""

import re

import pytest

from llm_twin.evaluation.judging import Jury, add_judgements
from llm_twin.evaluation.ragas_judge import judge_with_ragas
from llm_twin.evaluation.report import render_report
from llm_twin.evaluation.scores import Output, Reply, Scores
from llm_twin.llm import LlmClient
from llm_twin.recipes import JudgeRecipe, LlmRecipe
from tests.integration.stub_llm import stub_llm

LLM = LlmRecipe(temperature=0, retries=0, timeout_seconds=1.5, concurrency=4)
PATIENT = LLM.model_copy(update={"timeout_seconds": 60})


def judge(prompt):
    """Grades and prefers what an answer says of itself; for ragas, one statement of two holds."""
    if "Break down each sentence" in prompt:
        return {"statements": ["one", "two"]}
    if "judge the faithfulness" in prompt:
        return {"statements": [{"statement": s, "reason": "r", "verdict": v} for s, v in (("one", 1), ("two", 0))]}
    if "Generate a question" in prompt:
        return {"question": "Who read the gauge?", "noncommittal": 0}
    if "useful in arriving" in prompt:
        return {"reason": "r", "verdict": 1}
    if "You compare two answers" in prompt:
        first, second = re.findall(r"quality (\d)", prompt.split("Answer A:")[1])
        return {"reason": "", "better": "A" if first > second else "B"}
    if "You grade one answer" in prompt:
        quality = int(re.search(r"quality (\d)", prompt.split("Answer:")[1]).group(1))
        return {"reason": "", "grades": {"accuracy": quality, "style": quality}}
    return {"rating": 2}


def make_scores(count=30):
    scores = Scores(author="a", index="", candidates=["base", "dpo"], samples=count)
    scores.outputs = [
        Output(
            sample_id=f"s{n}",
            document_id=f"d{n}",
            prompt="Write.",
            reference="quality 3 as the author has it",
            texts={"base": f"quality {1 + n % 2} base", "dpo": f"quality {2 + n % 2} dpo and more"},
        )
        for n in range(count)
    ]
    scores.replies = [
        Reply(question_id=f"q{n}", question="Who read the gauge?", passages=["Marta read the gauge."],
              texts={"base": "quality 1", "dpo": "quality 2"})
        for n in range(4)
    ]  # fmt: skip
    return scores


@pytest.fixture(scope="module")
def judged(retrieval):
    scores = make_scores()
    with stub_llm(judge, fault_every=0) as stub:
        jury = Jury(clients={"m": LlmClient(stub.url, "m", PATIENT)}, samples=["How the author writes."])
        add_judgements(scores, jury, JudgeRecipe(models=["m"]), "the author", "dpo", retrieval.encoder)
    scores.compare()
    return scores


def test_candidates_and_the_author_are_graded_and_compared(judged):
    assert judged.judge["the author"].means["style"].mean == 3.0  # the ceiling
    base, dpo = judged.measures["judge_style"]["base"], judged.measures["judge_style"]["dpo"]
    assert len(base) == len(dpo) == 34 and sum(dpo.values()) - sum(base.values()) == 34
    difference = next(d for d in judged.comparisons["judge_style"] if (d.first, d.second) == ("base", "dpo"))
    assert difference.different and difference.difference.mean == 1.0
    pairs = judged.pairs["dpo against base, by m"]
    assert pairs.win_rate.mean == 1.0 and pairs.position_bias == 0
    assert not [note for note in judged.notes if "judge" in note]


def test_ragas_judges_over_the_wire(judged):
    for name in ("base", "dpo"):
        values = judged.measures["ragas_faithfulness"][name]
        assert values == {f"q{n}": 0.5 for n in range(4)}
        assert judged.ragas[name].missing == {} and judged.ragas[name].asked == 16
        assert all(v == pytest.approx(1) for v in judged.measures["ragas_answer_relevancy"][name].values())


def test_the_report_shows_what_the_judges_said(judged):
    page = render_report(judged)
    for wanted in ("Judges", "which is better", "ragas, with a judge", "position bias", "length bias", "the author"):
        assert wanted in page


def test_one_call_in_five_lost_biases_nothing_and_is_counted(retrieval):
    scores = make_scores(40)
    with stub_llm(judge, fault_every=5) as stub:
        jury = Jury(clients={"m": LlmClient(stub.url, "m", LLM)}, samples=[])
        settings = JudgeRecipe(models=["m"], max_answers=40, pairwise=False, ragas=False)
        add_judgements(scores, jury, settings, "the author", "dpo", retrieval.encoder)
    asked = sum(one.asked for one in scores.judge.values())
    missing = sum(sum(one.missing.values()) for one in scores.judge.values())
    assert 5 <= missing < asked / 3
    assert any(note.startswith(f"judge: {missing} of {asked} grades did not come") for note in scores.notes)
    for name, truth in (("base", 1.5), ("dpo", 2.5), ("the author", 3.0)):
        assert abs(scores.judge[name].means["style"].mean - truth) < 0.2  # zeros for the lost would take off 0.3 to 0.6
    assert scores.judge["the author"].means["style"].mean == 3.0


def test_a_metric_that_the_judge_does_not_answer_is_missing_not_nought(retrieval):
    replies = make_scores().replies
    with stub_llm(judge, fault_every=5) as stub:
        found = judge_with_ragas(LlmClient(stub.url, "m", LLM), replies, "dpo", retrieval.encoder)
    counted = sum(len(values) for values in found.values.values()) + sum(found.missing.values())
    assert counted == found.asked == 16
    assert all(value == 0.5 for value in found.values["faithfulness"].values())


def test_a_judge_that_cannot_be_reached_leaves_the_rest(retrieval):
    scores = make_scores(3)
    jury = Jury(clients={"m": LlmClient("http://127.0.0.1:9/v1", "m", LLM)}, samples=[])
    add_judgements(scores, jury, JudgeRecipe(models=["m"]), "the author", "dpo", retrieval.encoder)
    assert any("the judge stopped" in note for note in scores.notes) and scores.judge == {}
