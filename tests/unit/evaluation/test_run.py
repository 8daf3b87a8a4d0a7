import re
import sys

import pytest

from llm_twin.errors import InputError, ModelError
from llm_twin.evaluation.finish import write_results
from llm_twin.evaluation.mlflow_log import latest_scores
from llm_twin.evaluation.prompts_asked import choose_prompts, held_out_samples
from llm_twin.evaluation.quantized import ask_quantized
from llm_twin.evaluation.run import Models, evaluate_models
from llm_twin.evaluation.scores import read_scores
from llm_twin.recipes import EvaluationRecipe


@pytest.fixture(scope="module")
def evaluated(tiny, samples, passages, retrieval, tmp_path_factory):
    models = Models(
        tiny / "base",
        {"sft": tiny / "sft", "dpo": tiny / "dpo"},
        quantized=tiny / "base",
        quantize_python=sys.executable,
    )
    recipe = EvaluationRecipe(max_generations=4, max_new_tokens=12)
    scores = evaluate_models("a-b", "i" * 32, models, samples, passages, retrieval, recipe)
    folder = tmp_path_factory.mktemp("out")
    uri = f"sqlite:///{folder}/mlflow.db"
    run = write_results(scores, recipe.model_dump(), uri, str(folder / "s.json"), str(folder / "r.html"))
    return scores, folder, uri, run, models, recipe


def test_training_on_the_sentences_lowers_perplexity_in_every_document(evaluated):
    scores = evaluated[0]
    assert list(scores.perplexity) == ["base", "sft", "dpo", "quantized"]
    base, sft, dpo, quantized = scores.perplexity.values()
    assert dpo.perplexity < sft.perplexity < base.perplexity
    assert all(dpo.documents[d] < base.documents[d] for d in base.documents)
    assert dpo.difference.high < 0
    assert quantized.perplexity == pytest.approx(base.perplexity, rel=1e-5)  # the same model, elsewhere


def test_scores_report_and_run_are_left_and_agree(evaluated):
    scores, folder, uri, run, models, recipe = evaluated
    assert read_scores(folder / "s.json") == scores
    page = (folder / "r.html").read_text()
    assert "<svg" in page and "<script" not in page and not re.search(r"(href|src)=.http", page)
    assert all(output.prompt in page for output in scores.outputs)
    assert latest_scores(uri, "a-b") == scores and latest_scores(uri, "someone") is None
    again = write_results(scores, recipe.model_dump(), uri, str(folder / "s.json"), str(folder / "r.html"))
    assert again == run
    assert (folder / "r.html").read_text() == page


def test_the_same_models_give_the_same_scores_to_the_last_digit(evaluated, samples, passages, retrieval):
    scores, _, _, _, models, recipe = evaluated
    again = evaluate_models("a-b", "i" * 32, models, samples, passages, retrieval, recipe)
    assert again.model_dump_json() == scores.model_dump_json()


def test_prompts_come_from_all_documents(samples):
    chosen = choose_prompts(held_out_samples(samples), 6, seed=1)
    assert sorted(s.document_id for s in chosen) == ["d0", "d0", "d1", "d1", "d2", "d2"]


def test_without_held_out_samples_it_says_so(tiny, tmp_path, passages, retrieval):
    scores = evaluate_models("a", "", Models(tiny / "base", {}), tmp_path, passages, retrieval, EvaluationRecipe())
    assert scores.perplexity == {} and "held-out" in scores.notes[-1]
    assert scores.retrieval.queries == 3


def test_what_cannot_be_loaded_or_read_is_named(tiny, samples, tmp_path, retrieval):
    with pytest.raises(ModelError, match="cannot be measured"):
        ask_quantized(sys.executable, tmp_path, {"pairs": [], "conversations": [], "max_new_tokens": 1, "seed": 1})
    with pytest.raises(ModelError, match="cannot load"):
        evaluate_models("a", "", Models(tmp_path, {}), samples, [], retrieval, EvaluationRecipe())
    with pytest.raises(InputError):
        read_scores(tmp_path / "none.json")
