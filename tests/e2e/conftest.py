"""One run of the whole way, shared by the end-to-end tests: the recipe `sample` with a smaller seedling."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from llm_twin.sample import site
from pipelines.catalogue import find_recipe

SMALLER = {"steps": 60, "max_words": 60_000, "packages": ["numpy"], "hidden_size": 128, "layers": 2, "heads": 4}


@dataclass
class Run:
    """A finished `twin` command."""

    output: str
    errors: str
    code: int


@dataclass
class SampleTwin:
    """A home with a built twin, and the sample data that it was built from (a copy, to change)."""

    home: Path
    data: Path
    recipe: Path
    first: Run

    def twin(self, *arguments: str, timeout: int = 600) -> Run:
        """Run `twin …` over this home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_")}
        done = subprocess.run(
            [sys.executable, "-m", "llm_twin.cli", *arguments],
            env={**kept, "LLM_TWIN_HOME": str(self.home), "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        return Run(done.stdout, done.stderr, done.returncode)

    def run(self) -> Run:
        """Run the recipe again."""
        return self.twin("run", "--recipe", str(self.recipe), "--sample-data", str(self.data))


@pytest.fixture(scope="session")
def sample_twin(tmp_path_factory: pytest.TempPathFactory) -> SampleTwin:
    """Built once for the session; a test that changes it puts it back."""
    folder = tmp_path_factory.mktemp("sample")
    shutil.copytree(site.DATA_DIR, folder / "data")
    recipe = yaml.safe_load(find_recipe("sample").read_text(encoding="utf-8"))
    recipe["training"] |= {"seedling": SMALLER, "sft_epochs": 1, "dpo_epochs": 0.5, "max_length": 256}
    recipe["evaluation"] = {"max_queries": 40, "max_generations": 2, "max_new_tokens": 24}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    built = SampleTwin(folder / "home", folder / "data", path, Run("", "", -1))
    built.first = built.run()
    return built
