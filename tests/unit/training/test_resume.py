"""Stopped at any step and resumed: the same adapter as the undisturbed run, and nothing half there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llm_twin.training.sft import train_sft

SCRIPT = """
import sys
from pathlib import Path
from llm_twin.recipes import TrainingRecipe
from llm_twin.training.sft import train_sft
recipe = TrainingRecipe.model_validate_json(Path(sys.argv[1]).read_text())
train_sft(Path(sys.argv[2]), Path(sys.argv[3]), recipe, Path(sys.argv[4]), Path(sys.argv[5]))
"""


def stop_at(step: int):
    """A watcher that interrupts the run after `step` steps."""

    def watch(trainer):
        from transformers import TrainerCallback

        class Stop(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                if state.global_step == step:
                    raise KeyboardInterrupt

        trainer.add_callback(Stop())

    return watch


def test_stopped_in_the_middle_of_an_epoch_it_goes_on_as_if_nothing_had_happened(
    tiny_base, tiny_samples, tiny_recipe, tmp_path
):
    recipe = tiny_recipe.model_copy(update={"lora_dropout": 0.1, "save_steps": 3})  # dropout: RNG state counts
    whole = train_sft(tiny_base, tiny_samples, recipe, tmp_path / "whole", tmp_path / "work-whole")
    for step in (5, 11):
        with pytest.raises(KeyboardInterrupt):
            train_sft(tiny_base, tiny_samples, recipe, tmp_path / "cut", tmp_path / "work", watchers=[stop_at(step)])
        assert not (tmp_path / "cut").exists()
    resumed = train_sft(tiny_base, tiny_samples, recipe, tmp_path / "cut", tmp_path / "work")
    curves = [[entry["loss"] for entry in run.history if "loss" in entry] for run in (whole, resumed)]
    assert curves[1] == pytest.approx(curves[0], abs=1e-6)
    assert resumed.figures["validation_loss"] == pytest.approx(whole.figures["validation_loss"], abs=1e-6)
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.deep
@pytest.mark.timeout(1800)
def test_killed_five_times_at_random_it_ends_with_the_same_bytes(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    recipe = tiny_recipe.model_copy(update={"sft_epochs": 8.0, "save_steps": 2})
    train_sft(tiny_base, tiny_samples, recipe, tmp_path / "whole", tmp_path / "work-whole")
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    work, adapter, pick = tmp_path / "work", tmp_path / "killed", random.Random(20)
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        *map(str, (tmp_path / "recipe.json", tiny_base, tiny_samples, adapter, work)),
    ]

    def newest() -> int:
        return max((int(path.name.split("-")[1]) for path in work.glob("checkpoint-*")), default=0)

    kills = 0
    for _ in range(5):
        goal = newest() + pick.randint(3, 10)
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and newest() < goal:
            time.sleep(0.005)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert kills >= 3
    files = [Path(folder) / "adapter_model.safetensors" for folder in (tmp_path / "whole", adapter)]
    assert files[0].read_bytes() == files[1].read_bytes()
