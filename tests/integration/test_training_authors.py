"""Many authors through the command line and kfp.local: one that fails leaves the others be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.catalogue import find_recipe

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1800)]
SEEDLING = {"steps": 20, "max_words": 40_000, "packages": ["numpy"], "hidden_size": 64, "layers": 2, "heads": 4}


def twin(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_")}
    if python := os.environ.get("LLM_TWIN_QUANTIZE_PYTHON"):
        kept["LLM_TWIN_QUANTIZE_PYTHON"] = python
    return subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", *arguments],
        env={**kept, "LLM_TWIN_HOME": str(home), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1700,
    )  # fmt: skip


def test_an_author_without_texts_fails_alone_and_the_other_is_trained(tmp_path) -> None:
    recipe = yaml.safe_load(find_recipe("sample").read_text(encoding="utf-8"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.md").write_text("# Soon\n\nNothing yet.\n")
    zips = [{"location": "sample:medium-export.zip"}, {"location": "sample:linkedin-export.zip"}]
    listed = [
        {"id": "odalys", "name": "Odalys Fenwick", "sources": zips},
        {"id": "nobody", "name": "Nobody", "sources": [{"location": str(tmp_path / "empty")}]},
    ]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"authors": listed}))
    recipe["collection"] = {"sources_file": str(tmp_path / "sources.yaml")}
    recipe["training"] |= {"seedling": SEEDLING, "sft_epochs": 0.5, "dpo_epochs": 0.25, "max_length": 192,
                           "rejected_from": "dataset", "quantize_samples": 2}  # fmt: skip
    recipe["evaluation"] = {"max_queries": 10, "max_generations": 1, "max_new_tokens": 16, "max_attacks": 1,
                            "max_questions": 1, "max_behaviour_questions": 0}  # fmt: skip
    recipe["serving"] = {"questions": []}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    home = tmp_path / "home"
    done = twin(home, "run", "--recipe", str(tmp_path / "recipe.yaml"), "--pipeline", "authors")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert done.stderr.count("error: step ") == 1, done.stderr
    (log,) = (home / "logs").glob("run-*.log")
    told = [line.split("] ", 1)[1] for line in log.read_text().splitlines() if "[progress] " in line][-3:]
    assert told[0].startswith("odalys: finished") and "champion odalys-adapter version 1" in told[0], told
    assert told[1].startswith("nobody: never trained"), told
    assert told[2].startswith("2 authors: 1 finished, 1 never trained; ")
    states = twin(home, "models", "--states")
    assert states.stdout.splitlines()[-1].startswith("1 authors: 1 finished; ")
    assert len(twin(home, "models").stdout.splitlines()) == 2, "adapter and quantized model"
