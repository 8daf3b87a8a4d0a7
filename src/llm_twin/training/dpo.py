"""Direct preference optimisation after SFT (Rafailov et al. 2023): the author's text against what is not theirs.

The reference is the SFT model itself, as a frozen copy of its adapter on the same base: the policy's adapter is
switched off and the copy on, so no second model is held in memory (TRL's DPOTrainer). With method full there is no
adapter, and the reference is a second, frozen model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_twin.documents import PreferenceSample
from llm_twin.progress import report
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training import loop
from llm_twin.training.rewards import reward_accuracy, reward_margins
from llm_twin.training.samples import pairs, preference_samples, training_preferences
from llm_twin.training.sft import SHOWN, make_deterministic, write_texts


def train_dpo(
    base: Path,
    adapter: Path,
    samples: Path,
    recipe: TrainingRecipe,
    preferred: Path,
    work: Path,
    watchers: Any = None,
) -> loop.TrainingResult:
    """Go on from the SFT `adapter` with the preference pairs and write the adapter `preferred`.

    With dpo_epochs 0 the SFT adapter is handed on unchanged. Figures hold the reward accuracy on held-out pairs
    with its 95 % interval (bootstrap over documents). Raises as train_sft does.
    """
    from transformers import set_seed

    from llm_twin.training.base import count_parameters, link_folder, load_tokenizer
    from llm_twin.training.callbacks import quiet_libraries
    from llm_twin.training.hardware import settle_hardware
    from llm_twin.training.record import run_record

    if recipe.dpo_epochs == 0:
        link_folder(adapter, preferred)
        return loop.TrainingResult("DPO (left out)", {}, {}, [], ["dpo_epochs is 0: the SFT adapter was handed on"])
    quiet_libraries()
    train = training_preferences(samples)
    held_out = preference_samples(samples, "test") or preference_samples(samples, "validation")
    tokenizer = load_tokenizer(adapter)
    hardware = settle_hardware(recipe, count_parameters(base))
    make_deterministic(hardware.device)
    set_seed(recipe.seed)
    policy, reference = _policy_and_reference(base, adapter, recipe, hardware)
    prompts = [sample.instruction for sample in (held_out or train)[:SHOWN]]
    before = write_texts(policy, tokenizer, prompts)
    trainer = _build_trainer(policy, reference, tokenizer, recipe, hardware, work, train)
    report(f"DPO: {len(train)} pairs, beta {recipe.dpo_beta}, loss {recipe.dpo_loss}, {hardware.device}")
    seconds = loop.run_trainer(trainer, "DPO", hardware.batching == "length", work, watchers)
    trained = trainer.accelerator.unwrap_model(trainer.model).eval()
    figures: dict[str, float] = {"pairs": len(train), "steps": trainer.state.global_step}
    figures |= _last_values(trainer.state.log_history)
    sharded = loop.is_sharded(trainer)
    if held_out and not sharded:  # the evaluation step measures what sharded training cannot
        figures |= _held_out_figures(trained, reference, tokenizer, held_out, recipe)
    record = run_record("dpo", recipe, hardware.as_dict(), {"base": base, "adapter": adapter, "samples": samples})
    loop.save_trained(trained, tokenizer, preferred, {**record, "figures": figures}, loop.gather_weights(trainer))
    after = [""] * len(prompts) if sharded else write_texts(trained, tokenizer, prompts)
    chosen = [sample.chosen for sample in (held_out or train)[:SHOWN]]
    return loop.TrainingResult(
        method=f"DPO ({recipe.dpo_loss}, {recipe.method})",
        figures=figures,
        speed={
            "seconds": seconds,
            "pairs_per_second": len(train) * recipe.dpo_epochs / max(seconds, 1e-9),
            "peak_memory_mb": loop.peak_memory_mb(hardware),
        },
        history=trainer.state.log_history,
        writings=[
            {"prompt": p, "before": b, "after": a, "author": o}
            for p, b, a, o in zip(prompts, before, after, chosen, strict=True)
        ],
    )


def _policy_and_reference(base: Path, adapter: Path, recipe: TrainingRecipe, hardware: Any) -> tuple[Any, Any]:
    """The SFT model to train, and its frozen copy where there is no adapter to copy."""
    if recipe.method == "full":
        return loop.load_for_training(adapter, recipe, hardware), loop.load_for_training(adapter, recipe, hardware)
    from peft import PeftModel

    model = loop.load_for_training(base, recipe, hardware)
    if recipe.method == "qlora":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=hardware.gradient_checkpointing)
    return PeftModel.from_pretrained(model, adapter, is_trainable=True), None


def _build_trainer(
    policy: Any, reference: Any, tokenizer: Any, recipe: TrainingRecipe, hardware: Any, work: Path, train: list
) -> Any:
    from trl import DPOConfig, DPOTrainer

    arguments = loop.common_arguments(
        recipe, hardware, work, len(train), recipe.dpo_batch_size, recipe.dpo_epochs, recipe.dpo_learning_rate
    )
    config = DPOConfig(
        **arguments,
        beta=recipe.dpo_beta,
        loss_type=[recipe.dpo_loss, "sft"] if recipe.dpo_sft_weight else [recipe.dpo_loss],
        loss_weights=[1.0, recipe.dpo_sft_weight] if recipe.dpo_sft_weight else None,
        max_length=recipe.max_length,
    )
    return DPOTrainer(
        model=policy, ref_model=reference, args=config, train_dataset=pairs(train), processing_class=tokenizer
    )


def _held_out_figures(
    model: Any, reference: Any, tokenizer: Any, held_out: list[PreferenceSample], recipe: TrainingRecipe
) -> dict[str, float]:
    margins = reward_margins(model, reference, tokenizer, held_out, recipe.dpo_beta, recipe.max_length)
    accuracy = reward_accuracy(margins, [sample.document_id for sample in held_out], recipe.seed)
    by_source: dict[str, list[float]] = {}
    for sample, margin in zip(held_out, margins, strict=True):
        by_source.setdefault(sample.rejected_source.replace("-", "_"), []).append(float(margin > 0))
    return {
        **{f"heldout_reward_accuracy_{name}": sum(won) / len(won) for name, won in sorted(by_source.items())},
        "heldout_pairs": len(held_out),
        "heldout_reward_accuracy": accuracy.value,
        "heldout_reward_accuracy_low": accuracy.low,
        "heldout_reward_accuracy_high": accuracy.high,
        "heldout_reward_margin": sum(margins) / len(margins),
    }


def _last_values(history: list[dict[str, float]]) -> dict[str, float]:
    """Means over the last tenth of the steps of what TRL logs."""
    steps = [entry for entry in history if "loss" in entry]
    tail = steps[-max(1, len(steps) // 10) :]
    names = {"loss": "train_loss", "rewards/accuracies": "train_reward_accuracy", "rewards/margins": "train_margin"}
    return {
        ours: sum(entry[theirs] for entry in tail) / len(tail)
        for theirs, ours in names.items()
        if tail and all(theirs in entry for entry in tail)
    }
