import random

import pytest

from llm_twin.documents import Answer, AnswerSentence, Citation
from llm_twin.evaluation.scores import Output, Scores
from llm_twin.monitoring.drift import compare_windows, describe, headline
from llm_twin.monitoring.observations import Observation, from_answers, from_scores, from_traces


def make_window(count, seed, words=40, score=0.6, extracted=0.3):
    choice = random.Random(seed)
    return [
        Observation(
            query_words=choice.randint(4, 12),
            answer_words=max(int(choice.gauss(words, 10)), 1),
            status="extracted" if choice.random() < extracted else "generated",
            supported_share=choice.random(),
            best_score=choice.gauss(score, 0.1),
            mean_score=choice.gauss(score - 0.1, 0.1),
            passages=5,
            seconds=choice.gauss(1, 0.1),
        )
        for _ in range(count)
    ]


def test_a_shift_is_found_in_the_columns_that_moved():
    drift, page = compare_windows(make_window(80, 1, words=90, score=0.3), make_window(120, 2), 0.3, "earlier requests")
    moved = {column.column for column in drift.columns if column.drifted}
    assert {"answer_words", "best_score", "mean_score"} <= moved and "seconds" not in moved
    assert drift.drifted and drift.enough
    assert "answer_words" in page and "earlier requests" in page
    assert headline(drift)["drifted"] == 1.0
    words = next(column for column in drift.columns if column.column == "answer_words")
    assert f"answer_words ({words.reference_mean:.3g} → {words.current_mean:.3g})" in describe(drift)
    assert 35 < words.reference_mean < 45 and 85 < words.current_mean < 95


def test_the_same_source_does_not_drift():
    drift, _ = compare_windows(make_window(80, 3), make_window(120, 4), 0.5, "earlier requests")
    assert not drift.drifted and drift.drifted_share < 0.3


def test_three_answers_are_too_few_to_conclude_from():
    drift, _ = compare_windows(make_window(3, 5, words=200), make_window(100, 6), 0.1, "earlier requests")
    assert not drift.enough and not drift.drifted
    assert "too few" in describe(drift)


def test_columns_that_one_window_lacks_are_named_not_guessed():
    outputs = [
        Output(sample_id=str(n), document_id="d", prompt="Write this.", reference="x", texts={"dpo": "a b " * n})
        for n in range(1, 40)
    ]
    reference = from_scores(Scores(author="a", index="", candidates=["dpo"], samples=3, outputs=outputs))
    drift, _ = compare_windows(make_window(40, 7), reference, 0.5, "the evaluation's texts")
    assert {column.column for column in drift.columns} == {"query_words", "answer_words"}
    assert "best_score" in drift.left_out and "status" in drift.left_out


@pytest.mark.parametrize("current, reference", [([], []), (make_window(2, 1), [])])
def test_nothing_to_compare_with_is_said(current, reference):
    drift, page = compare_windows(current, reference, 0.5, "nothing to compare with yet")
    assert not drift.drifted and "nothing to compare with yet" in page


def test_an_answer_and_its_trace_say_the_same():
    citation = Citation(chunk_id="c", document_id="d", url="u", start=0, end=1, quote="q", score=0.5)
    answer = Answer(
        question="what is it",
        author="a",
        text="one two three",
        status="generated",
        sentences=[AnswerSentence(text="one", supported=True), AnswerSentence(text="two", supported=False)],
        sources=[citation, citation.model_copy(update={"score": 0.7})],
        seconds={"retrieve": 0.2, "generate": 0.3},
    )
    [seen] = from_answers([answer])
    assert (seen.query_words, seen.answer_words, seen.supported_share) == (3, 3, 0.5)
    assert (seen.best_score, seen.passages, seen.seconds) == (0.7, 2, 0.5)
    assert from_traces([]) == []
