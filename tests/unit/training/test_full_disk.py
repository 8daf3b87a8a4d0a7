"""A disk that fills up while a checkpoint is written: the kernel refuses the write, the good checkpoint stays."""

from __future__ import annotations

import resource
from contextlib import contextmanager

import pytest

from llm_twin.errors import TwinError
from llm_twin.training.checkpoints import last_complete
from llm_twin.training.sft import train_sft

SIZES = {"adapter": 4096, "optimizer": 20_000}  # bytes a file may have: too few for the adapter, for the optimizer


@contextmanager
def full_after(step: int, size: int):
    """A watcher after whose `step` no file of this process grows beyond `size` bytes, until the block ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def watch(trainer):
        from transformers import TrainerCallback

        class Fill(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                if state.global_step == step:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

        trainer.add_callback(Fill())

    try:
        yield watch
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    """Eight steps, a checkpoint at every second."""
    return tiny_recipe.model_copy(update={"sft_epochs": 1.0, "save_steps": 2})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_base, tiny_samples, recipe) -> bytes:
    """The adapter's bytes of a run with room enough."""
    root = tmp_path_factory.mktemp("undisturbed")
    train_sft(tiny_base, tiny_samples, recipe, root / "adapter", root / "work")
    return (root / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("file", SIZES)
def test_a_checkpoint_that_does_not_fit_ends_the_run_and_the_next_goes_on(
    file, tiny_base, tiny_samples, recipe, undisturbed, tmp_path
):
    cut, work = tmp_path / "cut", tmp_path / "work"
    with full_after(3, SIZES[file]) as watch, pytest.raises(TwinError, match="cannot write a checkpoint") as caught:
        train_sft(tiny_base, tiny_samples, recipe, cut, work, watchers=[watch])
    assert "free some space" in caught.value.remedy and "goes on from the last good checkpoint" in caught.value.remedy
    assert not cut.exists()
    assert last_complete(work).name == "checkpoint-2"  # the half-written one of step 4 does not count
    train_sft(tiny_base, tiny_samples, recipe, cut, work)
    assert (cut / "adapter_model.safetensors").read_bytes() == undisturbed


def test_an_adapter_that_does_not_fit_leaves_nothing_half(tiny_base, tiny_recipe, tmp_path):
    from peft import get_peft_model

    from llm_twin.training.base import load_model, load_tokenizer
    from llm_twin.training.loop import lora_config, save_trained

    model, record = get_peft_model(load_model(tiny_base), lora_config(tiny_recipe)), {"recipe": {"base_model": "b"}}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZES["adapter"], hard))
        with pytest.raises(TwinError, match="File too large"):
            save_trained(model, load_tokenizer(tiny_base), tmp_path / "adapter", record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
