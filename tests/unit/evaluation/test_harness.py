"""lm-evaluation-harness on a task of local files, so that no network is needed."""

import json

import pytest

pytest.importorskip("lm_eval")

from llm_twin.errors import InputError
from llm_twin.evaluation.candidates import load_candidates
from llm_twin.evaluation.harness import run_benchmarks
from llm_twin.recipe_parts import BenchmarksRecipe

TASK = """
task: quay
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["the water.", "the moon."]
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "quay.jsonl"
    rows = [{"question": "The harbour gauge is read at dawn, before the ferry stirs", "answer": 0}] * 3
    data.write_text("\n".join(json.dumps(row) for row in [*rows, {**rows[0], "answer": 1}]))
    (tmp_path / "quay.yaml").write_text(TASK.format(data=data))
    return tmp_path


def test_a_task_of_local_files_runs_on_what_the_model_has_learnt(tiny, tasks):
    candidates = load_candidates(tiny / "base", {"dpo": tiny / "dpo"})
    recipe = BenchmarksRecipe(tasks=["quay"], include=str(tasks))
    with candidates.active("dpo") as model:
        found = run_benchmarks(model, candidates.tokenizer, recipe, seed=1)
        assert found["quay/acc"].value == 0.75 and found["quay/acc"].questions == 4
        with pytest.raises(InputError, match="no task 'mmluu'") as caught:
            run_benchmarks(model, candidates.tokenizer, BenchmarksRecipe(tasks=["mmluu"]), seed=1)
    assert "mmlu" in caught.value.remedy
