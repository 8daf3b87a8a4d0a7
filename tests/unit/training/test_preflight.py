"""The preflight refuses what cannot work, all at once and with remedies, and lets the rest through."""

from __future__ import annotations

import shutil

import pytest

from llm_twin.errors import InputError, ModelError
from llm_twin.training import base, preflight


def test_a_run_that_fits_is_let_through(tiny_base, tiny_samples, tiny_recipe, tmp_path, capsys):
    findings = preflight.check_sft(tiny_base, tiny_samples, tiny_recipe, tmp_path)
    assert {finding.level for finding in findings} == {"fine"}
    assert "template and tokenizer agree" in capsys.readouterr().out


def test_everything_wrong_is_said_at_once_and_force_goes_on(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    recipe = tiny_recipe.model_copy(update={"max_length": 300, "sft_batch_size": 10_000_000})
    with pytest.raises(InputError) as caught:
        preflight.check_sft(tiny_base, tiny_samples, recipe, tmp_path)
    text = str(caught.value)
    assert "more than the model's context of 256 tokens" in text and "GiB of memory needed" in text
    assert "set training.max_length to 256" in text and "--force" in text and caught.value.exit_code == 2
    levels = [f.level for f in preflight.check_sft(tiny_base, tiny_samples, recipe, tmp_path, force=True)]
    assert levels.count("refused") == 2


def test_samples_that_are_cut_are_counted(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    recipe = tiny_recipe.model_copy(update={"max_length": 20})
    with pytest.raises(InputError, match="cuts 32 of 32") as caught:
        preflight.check_sft(tiny_base, tiny_samples, recipe, tmp_path)
    assert "set training.max_length to" in caught.value.remedy


def test_a_missing_template_is_named_and_ours_can_be_asked_for(tiny_base, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template") as caught:
        base.ensure_chat_template(folder, "")
    assert "instruct version" in caught.value.remedy
    base.ensure_chat_template(folder, "twin")
    assert base.load_tokenizer(folder).chat_template


def test_models_that_are_not_there_are_told_apart(tiny_recipe, tmp_path):
    def prepare(name: str) -> None:
        base.prepare_base(tiny_recipe.model_copy(update={"base_model": name}), tmp_path / "out", tmp_path / "cache")

    with pytest.raises(ModelError, match=r"holds no config.json"):
        prepare(str(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match=r"holds no .safetensors weights"):
        prepare(str(broken))
    (broken / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ModelError, match="no causal language model"):
        prepare(str(broken))


def test_an_unreachable_hub_is_said(tiny_recipe, tmp_path):
    """A hub address where nothing listens, in a process of its own: the library reads it when imported."""
    import os
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from llm_twin.recipes import TrainingRecipe\n"
        "from llm_twin.training.base import prepare_base\n"
        "from llm_twin.errors import ModelError\n"
        "try: prepare_base(TrainingRecipe(base_model='nobody/nothing'), Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except ModelError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    command = [sys.executable, "-c", code, str(tmp_path / "out"), str(tmp_path / "cache")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "hub cannot be reached" in done.stdout and "seedling" in done.stdout
