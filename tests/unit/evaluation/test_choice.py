import pytest

from llm_twin.errors import InputError
from llm_twin.evaluation.candidates import load_candidates
from llm_twin.evaluation.choice import ChoiceQuestion, ask_choices, read_choice, read_choices, wilson_interval

TRUE = [
    ("The harbour gauge is read", "at dawn, before the ferry stirs the water.", "by nobody at all, on any day."),
    ("I keep a ledger of every tide,", "because memory rounds the numbers up.", "since paper is so very cheap here."),
    ("A slow clock is honest about one thing:", "it admits that it is late.", "that it was made in a town."),
    ("We measured the quay twice,", "and then we measured the ruler.", "and it grew by half a fathom."),
]


@pytest.fixture(scope="module")
def learnt(tiny):
    """The adapter that has learnt these sentences, and the base model that has not."""
    return load_candidates(tiny / "base", {"dpo": tiny / "dpo"})


def make_questions():
    return [
        ChoiceQuestion(question=start, choices=[wrong, right] if n % 2 else [right, wrong], answer=right, subject="x")
        for n, (start, right, wrong) in enumerate(TRUE)
    ]


def test_log_probabilities_choose_what_the_model_has_learnt(learnt):
    learnt_tokenizer = learnt.tokenizer
    with learnt.active("dpo") as model:
        scores = ask_choices(model, learnt_tokenizer, make_questions(), "log_probability")
    assert scores.accuracy.mean == 1.0 and scores.chance == 0.5 and scores.by_subject == {"x": 1.0}


def test_length_normalisation_stops_short_choices_from_winning(learnt):
    question = ChoiceQuestion(question="The harbour gauge", choices=[TRUE[0][1], "No."], answer="A")
    with learnt.active("base") as model:
        raw = ask_choices(model, learnt.tokenizer, [question], "log_probability", normalise=False)
    with learnt.active("dpo") as model:
        normalised = ask_choices(model, learnt.tokenizer, [question], "log_probability")
    assert raw.chosen == [1] and normalised.chosen == [0]


def test_generation_counts_what_cannot_be_read_as_wrong(learnt):
    with learnt.active("base") as model:
        scores = ask_choices(model, learnt.tokenizer, make_questions(), "generation")
    assert scores.answered == sum(pick >= 0 for pick in scores.chosen)
    assert scores.accuracy.count == 4 and scores.accuracy.mean <= scores.answered / 4


@pytest.mark.parametrize(
    "text, expected",
    [("B", 1), ("(B) because", 1), ("The answer is: B", 1), ("**A**", 0), ("it is green", 1), ("Maybe.", -1),
     ("red or green", -1), ("J", -1), ("A pity that I do not know", 0)],
)  # fmt: skip
def test_a_choice_is_read_from_what_models_write(text, expected):
    assert read_choice(text, ChoiceQuestion(question="?", choices=["red", "green"], answer="B")) == expected


def test_sets_are_read_from_yaml_and_csv_and_faults_are_named(tmp_path):
    (tmp_path / "a.yaml").write_text("- {question: 'Which?', choices: [red, green], answer: green, subject: colour}\n")
    (tmp_path / "a.csv").write_text("question,A,B,C,answer,subject\nWhich?,red,green,,B,colour\n")
    assert read_choices(tmp_path / "a.yaml")[0].right == read_choices(tmp_path / "a.csv")[0].right == 1
    (tmp_path / "b.yaml").write_text("- {question: 'Which?', choices: [red, green], answer: blue}\n")
    with pytest.raises(InputError, match="question 1.*none of the choices"):
        read_choices(tmp_path / "b.yaml")
    with pytest.raises(InputError, match="no list"):
        (tmp_path / "c.yaml").write_text("x: 1")
        read_choices(tmp_path / "c.yaml")
    with pytest.raises(InputError):
        read_choices(tmp_path / "none.yaml")


def test_wilson_is_that_of_the_books():
    interval = wilson_interval(8, 10)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.4902, 0.9433)
    assert wilson_interval(0, 10).low == pytest.approx(0, abs=1e-12)
