import csv

import pytest

from llm_twin.errors import InputError
from llm_twin.evaluation.judge import JudgeScores
from llm_twin.evaluation.scores import Output, Scores
from llm_twin.evaluation.sets import load_set
from llm_twin.evaluation.sheet import agreement, read_sheet, write_sheet
from llm_twin.recipe_parts import QuestionSet

MOODS = """
- {question: "It rained all day.", choices: [glad, sad], answer: sad}
- {question: "The sun came out.", choices: [glad, sad], answer: glad}
- {question: "The boat sank.", choices: [glad, sad], answer: sad}
"""


def make_set(folder, text, **options):
    (folder / "set.yaml").write_text(text)
    return QuestionSet(name="moods", path="set.yaml", **options).anchored(folder)


def test_classification_has_precision_recall_and_f1_of_each_class(tmp_path):
    loaded = load_set(make_set(tmp_path, MOODS, task="classification", method="generation"))
    scores = loaded.score([], ["A", "A", "no idea"])
    assert scores.values == {"0": 0.0, "1": 1.0, "2": 0.0}
    glad, sad = scores.classes["glad"], scores.classes["sad"]
    assert (glad.precision, glad.recall, glad.support) == (0.5, 1.0, 1)
    assert (sad.precision, sad.recall, sad.support) == (0.0, 0.0, 2)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert scores.choice.answered == 2


def test_likelihoods_choose_in_the_order_they_were_asked(tmp_path):
    loaded = load_set(make_set(tmp_path, MOODS))
    assert len(loaded.pairs()) == 6 and loaded.conversations() == []
    scores = loaded.score([(8, 1), (1, 1), (1, 1), (8, 1), (1, 1), (8, 1)], [])
    assert scores.choice.chosen == [1, 0, 0] and scores.choice.accuracy.mean == pytest.approx(2 / 3)


def test_texts_are_held_against_their_references(tmp_path):
    loaded = load_set(make_set(tmp_path, "- {question: 'Who is it?', reference: the warden of the quay}", task="text"))
    scores = loaded.score([(6.0, 3)], ["the warden of the quay"])
    assert scores.texts["rouge_l"].mean == 1.0 and scores.perplexity == pytest.approx(7.389, abs=0.001)
    assert loaded.score([(6.0, 3)], ["something else"]).texts["rouge_l"].mean == 0.0


def test_a_changed_file_and_unlike_classes_are_refused(tmp_path):
    recipe = make_set(tmp_path, MOODS)
    (tmp_path / "set.yaml").write_text(MOODS + "\n")
    with pytest.raises(InputError, match="changed"):
        load_set(recipe)
    unlike = MOODS + '- {question: "Hm.", choices: [a, b], answer: a}\n'
    with pytest.raises(InputError, match="share"):
        load_set(make_set(tmp_path, unlike, task="classification"))
    with pytest.raises(InputError, match="cannot read"):
        QuestionSet(name="x", path="none.yaml").anchored(tmp_path)


def test_people_label_a_sheet_and_agreement_is_measured(tmp_path):
    outputs = [
        Output(sample_id=f"s{n}", document_id="d", prompt="Which?", reference="r", texts={"dpo": f"text, {n}\nmore"})
        for n in range(4)
    ]
    scores = Scores(author="a", index="", candidates=["dpo"], samples=4, outputs=outputs)
    path = tmp_path / "sheet.csv"
    assert write_sheet(path, scores, ["style"]) == 4
    rows = list(csv.DictReader(path.open()))
    for row, label in zip(rows, ("1", "3", "", "3"), strict=True):
        row["style"] = label
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    sheet = read_sheet(path, ["style", "accuracy"])
    assert sheet.labels == {"style": {"s0/dpo": 1, "s1/dpo": 3, "s3/dpo": 3}}
    assert [one.answer for one in sheet.answers] == [f"text, {n}\nmore" for n in range(4)]
    given = {"judge": {"style": {"s0/dpo": 1, "s1/dpo": 3, "s2/dpo": 2, "s3/dpo": 3}}}
    judged = JudgeScores(grades={}, means={}, asked=4, answered=4, missing={}, by_judge=given, length_bias={})
    assert agreement(sheet, judged) == [("judge", "style", 1.0, 3)]
    path.write_text("question,answer,style\nq,a,7\n")
    with pytest.raises(InputError, match="line 2: style"):
        read_sheet(path, ["style"])
