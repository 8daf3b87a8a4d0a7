"""A twin that is its merged or its GPTQ model, served whole: the latter in the environment that has gptqmodel."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from benchmarks.serving_batching import make_model
from llm_twin.documents import Author
from llm_twin.recipe_serving import EngineRecipe, ServingRecipe
from llm_twin.serving.probe import serve_twins
from llm_twin.serving.twins import TwinFile, plan_serving
from llm_twin.training.quantize import run_worker

pytestmark = pytest.mark.timeout(900)
PYTHON = os.environ.get("LLM_TWIN_QUANTIZE_PYTHON", "")
BODY = {"model": "m", "messages": [{"role": "user", "content": "the boat came"}], "max_tokens": 12, "temperature": 0}


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "merged"
    make_model(folder, layers=2, width=128, vocabulary=512, seed=4)
    return folder


def ask(folder, file):
    """What the served twin writes, and the predictor's metrics."""
    twins, base, adapters = plan_serving([file])
    python = Path(PYTHON) if PYTHON else None
    with serve_twins(
        twins, base=base, adapters=adapters, vectors_url="", logs=folder, threads=1, quantize_python=python
    ) as served:
        answer = httpx.post(f"{served.url}/openai/v1/chat/completions", json=BODY, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json(), httpx.get(f"{served.predictor_url}/metrics").text


def test_a_merged_model_answers_with_the_recipe_s_speculation_and_cache(tmp_path, merged):
    author = Author(id="m", name="M")
    plain, _ = ask(tmp_path, TwinFile(author=author, merged=str(merged), serving=ServingRecipe(model="merged")))
    recipe = ServingRecipe(model="merged", engine=EngineRecipe(speculative_tokens=4, kv_cache="static"))
    fast, metrics = ask(tmp_path, TwinFile(author=author, merged=str(merged), serving=recipe))
    assert plain["usage"]["completion_tokens"] > 0
    assert fast["choices"] == plain["choices"]
    assert "llm_twin_predictor_right_guesses_total" in metrics


@pytest.mark.skipif(not PYTHON, reason="LLM_TWIN_QUANTIZE_PYTHON names no interpreter")
def test_a_gptq_model_answers_on_a_processor(tmp_path, merged):
    quantized = tmp_path / "gptq"
    texts = ["the boat came and went, again and again. " * 20] * 8
    request = {"task": "quantize", "model": str(merged), "target": str(quantized), "bits": 4, "group_size": 32}
    run_worker(Path(PYTHON), {**request, "texts": texts, "samples": 8, "max_length": 128, "seed": 1})
    file = TwinFile(author=Author(id="m", name="M"), quantized=str(quantized), serving=ServingRecipe(model="gptq"))
    answer, _ = ask(tmp_path, file)
    assert answer["usage"]["completion_tokens"] > 0
