"""SFT: only the assistant's tokens count, the same seed gives the same bytes, a stopped run goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from llm_twin.errors import InputError, QualityError
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training import loop, sft
from llm_twin.training.samples import instruction_samples


def prepared(base: Path, samples: Path, recipe: TrainingRecipe, work: Path, batching: str = "length"):
    """A trainer as train_sft builds it, not yet run."""
    from transformers import set_seed

    from llm_twin.training.base import load_tokenizer
    from llm_twin.training.hardware import settle_hardware

    recipe = recipe.model_copy(update={"batching": batching})
    tokenizer, hardware = load_tokenizer(base), settle_hardware(recipe)
    set_seed(recipe.seed)
    model = loop.load_for_training(base, recipe, hardware)
    train = instruction_samples(samples, "train")
    return sft.build_trainer(model, tokenizer, recipe, hardware, work, train, []), tokenizer


def test_loss_counts_the_assistants_tokens_and_its_end_only(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    trainer, tokenizer = prepared(tiny_base, tiny_samples, tiny_recipe, tmp_path)
    wanted = instruction_samples(tiny_samples, "train")
    for row, sample in zip(trainer.train_dataset, wanted, strict=True):
        counted = [token for token in row["labels"] if token != -100]
        assert tokenizer.decode(counted) == sample.output + tokenizer.eos_token


def test_a_template_without_marks_counts_the_same_tokens(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    import shutil

    from llm_twin.training.base import load_tokenizer

    marked, _ = prepared(tiny_base, tiny_samples, tiny_recipe, tmp_path)
    plain = tmp_path / "plain"
    shutil.copytree(tiny_base, plain)
    tokenizer = load_tokenizer(plain)
    tokenizer.chat_template = tokenizer.chat_template.replace("{%- generation -%}", "").replace(
        "{%- endgeneration -%}", ""
    )
    tokenizer.save_pretrained(plain)
    unmarked, _ = prepared(plain, tiny_samples, tiny_recipe, tmp_path)
    assert not sft.marks_assistant(load_tokenizer(plain))
    assert unmarked.train_dataset["labels"] == marked.train_dataset["labels"]


def test_packed_samples_do_not_see_each_other(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    """The logits of a sample inside a packed row are those it has alone."""
    import torch

    recipe = tiny_recipe.model_copy(update={"sft_batch_size": 1, "max_length": 256})
    trainer, _ = prepared(tiny_base, tiny_samples, recipe, tmp_path, batching="packed")
    batch = next(iter(trainer.get_train_dataloader()))
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    assert len(starts) > 1, "nothing was packed"
    assert "attention_mask" not in batch  # the positions alone keep the samples apart
    model = trainer.model.eval()
    with torch.no_grad():
        inputs = {key: batch[key] for key in ("input_ids", "position_ids")}
        together = model(**inputs, use_cache=False).logits[0]
        ends = [*starts[1:], batch["input_ids"].shape[1]]
        for start, end in zip(starts, ends, strict=True):
            alone = model(input_ids=batch["input_ids"][:, start:end], use_cache=False).logits[0]
            assert torch.allclose(together[start:end], alone, atol=1e-4)


def test_a_step_in_parts_is_the_step_in_one_piece(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    """Sorted by length and summed over its parts, a step's gradient is that of the same samples in one batch."""
    losses = {}
    for batching in ("length", "plain"):
        recipe = tiny_recipe.model_copy(update={"batching": batching, "sft_batch_size": 8})
        done = sft.train_sft(tiny_base, tiny_samples, recipe, tmp_path / batching, tmp_path / f"work-{batching}")
        losses[batching] = [entry["loss"] for entry in done.history if "loss" in entry]
    assert len(losses["length"]) == 8
    assert losses["length"] == pytest.approx(losses["plain"], abs=2e-4)


def test_same_seed_gives_the_same_adapter_bytes_and_another_seed_does_not(
    tiny_base, tiny_samples, tiny_recipe, tmp_path
):
    """In half precision, as shipped for processors that compute in it; test_full_disk.py compares bytes in 32 bit."""
    for name, seed in (("first", 20), ("second", 20), ("other", 21)):
        recipe = tiny_recipe.model_copy(update={"seed": seed, "precision": "bf16", "sft_epochs": 1.0})
        sft.train_sft(tiny_base, tiny_samples, recipe, tmp_path / name, tmp_path / f"work-{name}")
    weights = {
        name: (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("first", "second", "other")
    }
    assert weights["first"] == weights["second"]
    assert weights["first"] != weights["other"]
    config = json.loads((tmp_path / "first" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "seedling"


def test_validation_loss_falls(tiny_samples, tiny_recipe, tmp_path):
    """LoRA on a base that knows some English: what it learns carries over to documents that it has not seen.

    The tiny seedling's embeddings are all but random, and LoRA leaves them so: it has hardly anything to build on.
    """
    from llm_twin.training.base import prepare_base

    seedling = tiny_recipe.seedling.model_copy(
        update={"hidden_size": 64, "intermediate_size": 128, "steps": 150, "learning_rate": 1e-2}
    )
    recipe = tiny_recipe.model_copy(
        update={"seedling": seedling, "sft_epochs": 6.0, "lora_rank": 16, "lora_alpha": 32, "sft_learning_rate": 1e-2}
    )
    prepare_base(recipe, tmp_path / "base", tmp_path / "cache")
    done = sft.train_sft(tmp_path / "base", tiny_samples, recipe, tmp_path / "adapter", tmp_path / "work")
    assert done.figures["validation_loss"] < done.figures["validation_loss_before"] - 0.3
    assert {"loss", "learning_rate", "grad_norm"} <= set(done.history[0])
    assert len(done.writings) == 3 and all(
        set(text) == {"prompt", "before", "after", "author"} for text in done.writings
    )


def test_a_nan_loss_stops_the_run_and_keeps_the_last_good_checkpoint(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    import torch

    def poison(trainer):
        from transformers import TrainerCallback

        class Poison(TrainerCallback):
            def on_step_begin(self, args, state, control, model=None, **kwargs):
                if state.global_step == 6:
                    with torch.no_grad():
                        next(p for p in model.parameters() if p.requires_grad).fill_(math.nan)

        trainer.add_callback(Poison())

    work = tmp_path / "work"
    with pytest.raises(QualityError, match="became nan at step 7 of 16") as caught:
        sft.train_sft(tiny_base, tiny_samples, tiny_recipe, tmp_path / "adapter", work, watchers=[poison])
    assert "learning rate" in caught.value.remedy
    assert not (tmp_path / "adapter").exists()
    from llm_twin.training.checkpoints import last_complete

    assert last_complete(work).name == "checkpoint-4"
    done = sft.train_sft(tiny_base, tiny_samples, tiny_recipe, tmp_path / "adapter", work)
    assert math.isfinite(done.figures["validation_loss"])


def test_early_stopping_keeps_the_best(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    recipe = tiny_recipe.model_copy(
        update={
            "sft_epochs": 6.0,
            "sft_learning_rate": 1e-12,  # gains nothing on any processor; a high rate overshoots only on some
            "warmup_share": 0.0,
            "early_stopping": 1,
            "evaluations": 12,
        }
    )
    done = sft.train_sft(tiny_base, tiny_samples, recipe, tmp_path / "adapter", tmp_path / "work")
    losses = [entry["eval_loss"] for entry in done.history if "eval_loss" in entry]
    assert done.figures["steps"] < 48
    assert done.figures["validation_loss"] == pytest.approx(min(losses), abs=1e-4)


def test_no_samples_is_one_clear_line(tiny_base, tiny_recipe, tmp_path):
    (tmp_path / "samples").mkdir()
    with pytest.raises(InputError, match="no instruction samples") as caught:
        sft.train_sft(tiny_base, tmp_path / "samples", tiny_recipe, tmp_path / "adapter", tmp_path / "work")
    assert caught.value.exit_code == 2 and "collect more" in caught.value.remedy
