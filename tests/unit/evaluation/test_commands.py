"""`twin evaluate …`, `scores` and `gate` as a user types them: a tiny real model, and judges over HTTP."""

import csv
import json
import re

import pytest
import typer
from typer.testing import CliRunner

from llm_twin.cli import evaluation
from llm_twin.evaluation.mlflow_log import log_scores
from llm_twin.evaluation.release import register_release
from llm_twin.evaluation.scores import Output, Scores
from llm_twin.recipe_parts import GateRecipe
from llm_twin.settings import RegistrySettings
from llm_twin.training.registry import find_model
from tests.integration.stub_llm import stub_llm

RECIPE = """
name: mine
author: {id: a-b, name: A B}
collection: {sources: [{location: texts}]}
evaluation:
  gate:
    mode: enforce
    rules: [{measure: faithfulness, must: be_at_least, limit: 0.9}]
"""
QUESTIONS = """
- question: The harbour gauge is read at dawn, before the ferry stirs
  choices: [the water., the moon., a biscuit.]
  answer: A
- question: Nobody thanks the person who oils
  choices: [a kettle, "the sluice, and nobody should."]
  answer: the sluice, and nobody should.
  subject: sluices
"""
TASK = """
task: written
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["<|end|>"], max_gen_toks: 16}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


cli = typer.Typer()
evaluation.register(cli)


def twin(*arguments, code=0):
    """What a command prints, with the error that it ended with, if it should."""
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    shown = f"{result.output}\n{result.exception} → {getattr(result.exception, 'remedy', '')}"
    assert result.exit_code == code or code != 0 and getattr(result.exception, "exit_code", None) == code, shown
    return result.output if result.exception is None or isinstance(result.exception, SystemExit) else shown


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "texts").mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny, samples):
    """A home with a champion, and a challenger that an enforced gate refuses."""
    folder = tmp_path_factory.mktemp("home")
    uri = RegistrySettings().resolve(folder)
    folders = {"base": tiny / "base", "quantized": tiny / "base", "samples": samples}
    for adapter, mode in (("sft", "advise"), ("dpo", "enforce")):
        scores = Scores(author="a-b", index="i", candidates=["base", "dpo"], samples=3)
        scores.measures = {"faithfulness": {"dpo": {f"q{n}": 0.5 + n % 2 / 50 for n in range(9)}}}
        scores.outputs = [
            Output(sample_id=f"s{n}", document_id="d", prompt="Write.", reference="As the author has it.",
                   texts={"base": f"quality 1 of {n}", "dpo": f"quality {2 + n % 2} by {adapter} of {n}"})
            for n in range(3)
        ]  # fmt: skip
        log_scores(uri, scores, {"adapter": adapter}, None)
        rules = [{"measure": "faithfulness", "must": "be_at_least", "limit": 0.9}]
        gate = GateRecipe(mode=mode, rules=rules)
        given = folders | {"adapter": tiny / adapter}
        register_release(uri, str(folder / "exports"), "a-b", given, scores, {"adapter": adapter}, gate)
    return folder


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.setenv("LLM_TWIN_HOME", str(home))
    return home


def test_a_sheet_is_written_labelled_graded_and_agreement_told(at_home, recipe, tmp_path, monkeypatch):
    sheet = tmp_path / "sheet.csv"
    assert "6 answers" in twin("evaluate", "sheet", "--author", "a-b", "--out", sheet, "--recipe", recipe)
    rows = list(csv.DictReader(sheet.open()))
    for row in rows[:5]:
        row["accuracy"] = row["answer"].split()[1]
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)

    def grade(prompt):
        quality = int(re.search(r"quality (\d)", prompt)[1])
        return {"reason": "", "grades": {"accuracy": quality, "style": 3}}

    with stub_llm(grade, faults=("refused in words",), fails=lambda prompt: "by dpo of 2" in prompt) as stub:
        monkeypatch.setenv("LLM_TWIN_LLM_BASE_URL", stub.url)
        told = twin("evaluate", "judge", sheet, "--recipe", recipe, "--model", "strict")
    assert "5 of 6 grades came; missing: refused 1" in told
    assert "style        3.00 [3.00, 3.00]" in told
    assert "agreement of strict with people on accuracy: kappa 1.00 over 5 labels" in told


def test_a_judge_without_a_name_or_an_endpoint_is_told_what_to_give(at_home, recipe, tmp_path, monkeypatch):
    for name in ("LLM_TWIN_LLM_BASE_URL", "LLM_TWIN_LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "s.csv").write_text("question,answer\nWhat?,That.\n")
    assert "no judge is named" in twin("evaluate", "judge", tmp_path / "s.csv", "--recipe", recipe, code=2)
    told = twin("evaluate", "judge", tmp_path / "s.csv", "--recipe", recipe, "--model", "m", code=2)
    assert "no endpoint is set" in told


def test_choosing_by_likelihood_knows_what_the_adapter_has_learnt(tiny, tmp_path):
    questions = tmp_path / "q.yaml"
    questions.write_text(QUESTIONS)
    told = twin("evaluate", "choose", questions, "--model", tiny / "base", "--adapter", tiny / "dpo")
    assert "accuracy 1.000" in told and "over 2; chance 0.417" in told and "sluices" in told
    written = twin("evaluate", "choose", questions, "--model", tiny / "base", "--method", "generation")
    assert re.search(r"accuracy \d\.\d{3}", written) and "answers could be read" in written
    twin("evaluate", "choose", questions, "--model", tiny / "base", "--method", "guess", code=2)
    assert "cannot load" in twin("evaluate", "choose", questions, "--model", tmp_path / "none", code=2)


def test_scores_and_the_gate_say_why_and_an_override_moves_the_champion(at_home, recipe):
    assert "faithfulness_dpo" in twin("scores", "--author", "a-b")
    uri = RegistrySettings().resolve(at_home)
    refused = twin("gate", "--author", "a-b", "--recipe", recipe, code=1)
    assert "not met" in refused and "must be at least 0.9" in refused and "refused (mode enforce)" in refused
    assert find_model(uri, "a-b-adapter").version == "1"
    assert "needs a name and a reason" in twin("gate", "--author", "a-b", "--recipe", recipe, "--override", code=2)
    turned = twin("gate", "--author", "a-b", "--recipe", recipe, "--override", "--by", "R. Keane", "--reason", "demo")
    assert "promoted" in turned and "overridden by R. Keane: demo" in turned
    assert find_model(uri, "a-b-adapter").version == "2"


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "written.jsonl"
    rows = [{"question": f"Who reads gauge {n}?", "answer": '"Marta"'} for n in range(3)]
    data.write_text("\n".join(json.dumps(row) for row in [*rows, {"question": "Who else?", "answer": "nobody"}]))
    (tmp_path / "written.yaml").write_text(TASK.format(data=data))
    return tmp_path


@pytest.mark.deep  # the harness reads thousands of task files each time
def test_a_general_benchmark_runs_on_an_endpoint_and_on_a_folder(tasks, tiny):
    with stub_llm(lambda prompt: "Marta", fault_every=0) as stub:
        told = twin("evaluate", "benchmark", "--task", "written", "--include", tasks, "--url", stub.url, "--name", "m")
        assert stub.requests == 4
    assert re.search(r"written/exact_match\s+0\.7500 ± \d\.\d{3}  \(4 questions\)", told), told
    local = ["evaluate", "benchmark", "--task", "written", "--include", tasks, "--model", tiny / "base"]
    assert re.search(r"written/exact_match\s+0\.0000", twin(*local, "--adapter", tiny / "dpo", "--limit", 2))
    twin("evaluate", "benchmark", "--task", "written", code=2)
    assert "did you mean" in twin("evaluate", "benchmark", "--task", "mmluu", "--model", tiny / "base", code=2)
    assert "ifeval" in twin("evaluate", "tasks", "ifeval").split()
