"""Stopped at any step and resumed: the same adapter as the undisturbed run, and nothing half there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llm_twin.training.sft import train_sft

SCRIPT = """
import os, signal, sys
from pathlib import Path
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.sft import train_sft
recipe_file, base, samples, adapter, work = map(Path, sys.argv[1:6])
event, step = sys.argv[6], int(sys.argv[7])

def watch(trainer):
    from transformers import TrainerCallback

    def kill(self, args, state, control, **kwargs):
        if state.global_step >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer.add_callback(type("Kill", (TrainerCallback,), {event: kill})())

recipe = TrainingRecipe.model_validate_json(recipe_file.read_text())
train_sft(base, samples, recipe, adapter, work, watchers=[watch])
"""
# before a step, after it, and after a checkpoint's files are written but before the mark that makes it count
EVENTS = ("on_step_begin", "on_step_end", "on_save")


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


@pytest.mark.parametrize(
    "kills", [pytest.param(1, id="once"), pytest.param(5, id="five-times", marks=[pytest.mark.deep])]
)
@pytest.mark.timeout(1800)
def test_killed_at_random_steps_it_ends_with_the_same_bytes(kills, tiny_base, tiny_samples, tiny_recipe, tmp_path):
    """kill -9 in a process of its own, at steps and moments drawn at random; in half precision, as shipped."""
    epochs = 1.0 if kills == 1 else 5.0
    recipe = tiny_recipe.model_copy(
        update={"precision": "bf16", "lora_dropout": 0.1, "sft_epochs": epochs, "save_steps": 2}
    )
    whole = train_sft(tiny_base, tiny_samples, recipe, tmp_path / "whole", tmp_path / "work-whole")
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json())
    work, adapter, pick = tmp_path / "work", tmp_path / "killed", random.Random()
    files = [str(path) for path in (tmp_path / "recipe.json", tiny_base, tiny_samples, adapter, work)]
    steps = sorted(pick.sample(range(3, int(whole.figures["steps"]) - 1), kills))
    drawn = [(step, pick.choice(EVENTS)) for step in steps]
    for step, event in drawn:
        child = subprocess.run([sys.executable, "-c", SCRIPT, *files, event, str(step)], capture_output=True, text=True)
        assert child.returncode == -signal.SIGKILL, child.stderr[-2000:]
        assert not adapter.exists()
    resumed = train_sft(tiny_base, tiny_samples, recipe, adapter, work)
    curves = [[entry["loss"] for entry in run.history if "loss" in entry] for run in (whole, resumed)]
    assert curves[1] == curves[0], drawn
    assert resumed.figures == whole.figures, drawn
    weights = [Path(folder) / "adapter_model.safetensors" for folder in (tmp_path / "whole", adapter)]
    assert weights[0].read_bytes() == weights[1].read_bytes(), drawn
