"""`twin init --endpoint`, then `twin run`: no model is trained, and the outside one answers from the author's text."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_twin.recipes import load_recipe
from tests.integration.stub_llm import stub_llm

pytestmark = [pytest.mark.deep, pytest.mark.timeout(900)]


def twin(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_")}
    return subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", *arguments],
        env={**kept, "LLM_TWIN_HOME": str(home), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def test_a_twin_of_an_endpoint_is_built_without_training(tmp_path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(6):
        words = " ".join(f"Gauge {number * 9 + n} was read at noon, and its chart was dry by one." for n in range(9))
        (texts / f"{number}.md").write_text(f"# Chart {number}\n\n{words}\n")
    home = tmp_path / "home"
    with stub_llm(lambda question: {"answer": "Gauge 3 was read at noon, and its chart was dry by one."}, 0) as llm:
        made = twin(
            home, "init", "--author", "Jane Doe", "--export", str(texts), "--endpoint", llm.url, "--endpoint-model",
            "big", "--folder", str(tmp_path / "jane"),
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert load_recipe(tmp_path / "jane" / "recipe.yaml").training.base_model == "none"
        ran = twin(home, "run", "--recipe", str(tmp_path / "jane" / "recipe.yaml"))
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
        asked = llm.requests
        for step in ("prepare base", "train sft", "register models"):
            assert step not in ran.stdout
        assert "ask twin" in ran.stdout
        answer = twin(home, "ask", "At what hour was gauge 3 read, and was its chart dry?")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert llm.requests > asked, "the endpoint answers, from the passages that were found"
    assert not list((home / "cache").glob("seedling/*"))
