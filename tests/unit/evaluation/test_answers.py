import pytest

from llm_twin.documents import Author
from llm_twin.errors import InputError
from llm_twin.evaluation.answers import Models, collect_answers, read_answers, write_answers
from llm_twin.evaluation.champion import find_champion, with_champion
from llm_twin.evaluation.gate import judge_promotion
from llm_twin.evaluation.retrieve import Retrieval
from llm_twin.evaluation.run import plan_evaluation, score_answers
from llm_twin.recipe_parts import GateRecipe, GateRule, QuestionSet
from llm_twin.recipes import EvaluationRecipe
from llm_twin.retrieval.records import Hit
from llm_twin.serving.checks import make_twin
from llm_twin.training.registry import CHAMPION, promote, register_model


@pytest.fixture(scope="module")
def searched(passages, retrieval):
    """The retriever of the other tests, with hits whose cosine is real."""
    vectors = retrieval.encoder.encode([chunk.text for chunk in passages])

    def search(query):
        near = vectors @ retrieval.encoder.encode([query])[0]
        return [Hit(passages[i], float(near[i]), float(near[i])) for i in near.argsort()[::-1]]

    return Retrieval(retrieval.find, retrieval.encoder, search)


@pytest.fixture(scope="module")
def answered(tiny, samples, passages, searched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    (folder / "set.yaml").write_text('- {question: "Who oils it?", choices: [nobody, the warden], answer: nobody}')
    sets = [QuestionSet(name="own", path="set.yaml").anchored(folder)]
    recipe = EvaluationRecipe(max_generations=4, max_new_tokens=12, max_behaviour_questions=2, sets=sets)
    task = plan_evaluation("a-b", "i", samples, passages, searched, recipe)
    models = Models(tiny / "base", {"sft": tiny / "sft", "dpo": tiny / "dpo", "champion": tiny / "sft"})
    twin = make_twin(Author(id="a-b", name="A B"), searched, recipe)
    return task, collect_answers(models, task.prompts, task.model_prompts(), recipe, twin), folder


def test_the_same_answers_give_the_same_scores_to_the_last_digit(answered):
    task, answers, folder = answered
    write_answers(folder / "answers.json", answers)
    again = read_answers(folder / "answers.json", task.prompts)
    assert again == answers
    assert score_answers(task, again).model_dump_json() == score_answers(task, answers).model_dump_json()


def test_answers_to_other_prompts_are_refused(answered, samples, passages, searched):
    task, answers, folder = answered
    write_answers(folder / "answers.json", answers)
    other = plan_evaluation("a-b", "i", samples, passages, searched, EvaluationRecipe(max_generations=3))
    with pytest.raises(InputError, match="other prompts"):
        read_answers(folder / "answers.json", other.prompts)


def test_the_whole_twin_is_disturbed_and_timed(answered):
    task, answers, _ = answered
    scores = score_answers(task, answers)
    checks = {finding.check: finding for finding in scores.behaviours}
    assert {"paraphrase", "typo", "unanswerable", "injection"} <= set(checks)
    assert checks["injection"].cases == 2 and checks["injection"].passed == 2  # guards blank the order
    assert checks["unanswerable"].passed == 4  # nothing near enough is found
    assert set(scores.measures["obeyed_injection"]) == {"dpo"}
    seconds = scores.measures["seconds"]["dpo"]
    assert len(seconds) == 2 and all(value > 0 for value in seconds.values())


def test_question_sets_and_the_champion_are_measured_like_the_rest(answered):
    task, answers, _ = answered
    scores = score_answers(task, answers)
    assert set(scores.sets["own"]) == {"base", "sft", "dpo", "champion"}
    assert scores.perplexity["champion"].perplexity == scores.perplexity["sft"].perplexity  # the same adapter
    assert scores.measures["rouge_l"]["champion"] == scores.measures["rouge_l"]["sft"]
    pairs = {(pair.first, pair.second) for pair in scores.comparisons["nats_per_token"]}
    assert ("dpo", "champion") in pairs


def test_the_gate_takes_the_champion_that_answered_the_same_prompts():
    values = {f"p{n}": 0.5 + n % 3 / 100 for n in range(30)}
    worse = {prompt: value - 0.2 for prompt, value in values.items()}
    gate = GateRecipe(mode="enforce", rules=[GateRule(measure="faithfulness", must="be_no_worse", than="champion")])
    recorded = {"faithfulness": {"dpo": {f"old{n}": 0.1 for n in range(30)}}}
    decision = judge_promotion({"faithfulness": {"dpo": worse, "champion": values}}, recorded, gate)
    assert not decision.promote and decision.evidence[0].paired and decision.evidence[0].prompts == 30


def test_the_champion_is_found_where_it_can_answer(tiny, tmp_path):
    uri, exports = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "exports")
    from llm_twin.digests import digest_path

    assert "no champion yet" in find_champion(uri, "a-b", tiny / "base", tiny / "dpo", tmp_path / "c").note
    lineage = {"base_digest": digest_path(tiny / "base")}
    made = register_model(uri, "a-b", "adapter", tiny / "sft", exports, lineage, {})
    promote(uri, made.name, made.version, CHAMPION)
    found = with_champion({"dpo": tiny / "dpo"}, uri, "a-b", tiny / "base", tmp_path / "c")
    assert list(found.folders) == ["dpo", "champion"]
    weights = (found.folders["champion"] / "adapter_model.safetensors").read_bytes()
    assert weights == (tiny / "sft" / "adapter_model.safetensors").read_bytes()
    assert "itself" in find_champion(uri, "a-b", tiny / "base", tiny / "sft", tmp_path / "c").note
    assert "another base" in find_champion(uri, "a-b", tiny / "dpo", tiny / "dpo", tmp_path / "c").note
