"""Supervised fine-tuning on the author's writing: TRL's SFTTrainer, loss on the assistant's tokens only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from llm_twin.progress import report
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training import loop
from llm_twin.training.samples import conversations, instruction_samples, training_instructions

SHOWN = 3  # prompts that the report shows texts for


def train_sft(
    base: Path, samples: Path, recipe: TrainingRecipe, adapter: Path, work: Path, watchers: Any = None
) -> loop.TrainingResult:
    """Fine-tune `base` on the instruction samples and write the adapter (or, with method full, the model).

    `work` keeps checkpoints: called again with the same arguments after a kill, training goes on where it was.
    Raises InputError without samples, ModelError for a model that cannot be loaded, QualityError on a NaN loss.
    """
    import torch
    from transformers import set_seed

    from llm_twin.training.base import count_parameters, load_tokenizer
    from llm_twin.training.callbacks import quiet_libraries
    from llm_twin.training.hardware import settle_hardware
    from llm_twin.training.record import run_record

    quiet_libraries()
    train = training_instructions(samples)
    validation = instruction_samples(samples, "validation")
    tokenizer = load_tokenizer(base)
    hardware = settle_hardware(recipe, count_parameters(base))
    make_deterministic(hardware.device)
    set_seed(recipe.seed)
    model = loop.load_for_training(base, recipe, hardware)
    prompts = [sample.instruction for sample in (validation or train)[:SHOWN]]
    before = write_texts(model, tokenizer, prompts)
    trainer = build_trainer(model, tokenizer, recipe, hardware, work, train, validation)
    sharded = loop.is_sharded(trainer)
    start_loss = trainer.evaluate()["eval_loss"] if validation and not sharded else math.nan
    trainer.state.log_history.clear()
    tokens = count_tokens(trainer.train_dataset)
    report(
        f"SFT: {len(train)} samples, {tokens['useful']:,} tokens of the author's, "
        f"{sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6:.2f} million parameters to train, "
        f"{hardware.device}, {hardware.precision}, batches {hardware.batching}"
    )
    seconds = loop.run_trainer(trainer, "SFT", hardware.batching == "length", work, watchers)
    figures: dict[str, float] = {"samples": len(train), "steps": trainer.state.global_step, **_cut(tokens)}
    if validation:
        if not sharded:  # a sharded model cannot be evaluated before it trains
            figures["validation_loss_before"] = start_loss
        figures["validation_loss"] = loop.check_finite(trainer.evaluate()["eval_loss"], "the validation loss")
    figures["train_loss"] = _last_loss(trainer.state.log_history)
    trained = trainer.accelerator.unwrap_model(trainer.model).eval()
    record = run_record("sft", recipe, hardware.as_dict(), {"base": base, "samples": samples})
    weights = loop.gather_weights(trainer)
    loop.save_trained(trained, tokenizer, adapter, {**record, "figures": figures}, weights)
    with torch.no_grad():
        after = [""] * len(prompts) if sharded else write_texts(trained, tokenizer, prompts)
    outputs = [sample.output for sample in (validation or train)[:SHOWN]]
    return loop.TrainingResult(
        method=f"SFT ({recipe.method})",
        figures=figures,
        speed={
            "seconds": seconds,
            "useful_tokens_per_second": tokens["useful"] * trainer.state.num_train_epochs / max(seconds, 1e-9),
            "peak_memory_mb": loop.peak_memory_mb(hardware),
        },
        history=trainer.state.log_history,
        writings=[
            {"prompt": p, "before": b, "after": a, "author": o}
            for p, b, a, o in zip(prompts, before, after, outputs, strict=True)
        ],
    )


def build_trainer(
    model: Any, tokenizer: Any, recipe: TrainingRecipe, hardware: Any, work: Path, train: list, validation: list
) -> Any:
    """TRL's SFTTrainer for `model`, with LoRA unless the method is full; its datasets are tokenized here."""
    from trl import SFTConfig, SFTTrainer

    packed = hardware.batching == "packed"
    total_steps = loop.count_steps(recipe, len(train), recipe.sft_batch_size, recipe.sft_epochs)
    every = max(1, total_steps // recipe.evaluations)
    arguments = loop.common_arguments(
        recipe, hardware, work, len(train), recipe.sft_batch_size, recipe.sft_epochs, recipe.sft_learning_rate
    )
    if recipe.early_stopping and validation:
        arguments |= {"save_steps": every, "load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    config = SFTConfig(
        **arguments,
        per_device_eval_batch_size=recipe.sft_batch_size,
        max_length=recipe.max_length,
        packing=packed,
        eval_packing=False,
        assistant_only_loss=marks_assistant(tokenizer),
        completion_only_loss=True,
        eval_strategy="steps" if validation else "no",
        eval_steps=every,
        loss_type="nll",
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=conversations(train),
        eval_dataset=conversations(sorted(validation, key=lambda s: len(s.output))) if validation else None,
        processing_class=tokenizer,
        peft_config=None if recipe.method == "full" else loop.lora_config(recipe),
    )
    from transformers import EarlyStoppingCallback, PrinterCallback

    trainer.remove_callback(PrinterCallback)
    if recipe.early_stopping and validation:
        trainer.add_callback(EarlyStoppingCallback(recipe.early_stopping))
    return trainer


def marks_assistant(tokenizer: Any) -> bool:
    """Whether the template says which tokens the assistant wrote; where not, prompt and completion do."""
    return "generation" in (tokenizer.chat_template or "") and "endgeneration" in tokenizer.chat_template


def count_tokens(dataset: Any) -> dict[str, int]:
    """Tokens of a prepared dataset: `all`, and `useful` ones that the loss counts."""
    useful = sum(sum(label != -100 for label in labels) for labels in dataset["labels"])
    return {"all": sum(len(ids) for ids in dataset["input_ids"]), "useful": useful}


def _cut(tokens: dict[str, int]) -> dict[str, float]:
    return {"tokens": float(tokens["all"]), "useful_tokens": float(tokens["useful"])}


def _last_loss(history: list[dict[str, float]]) -> float:
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail) if tail else math.nan


def make_deterministic(device: str) -> None:
    """Ask torch for deterministic kernels (a warning where there is none)."""
    import torch

    if device == "cuda":
        import os

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def write_texts(model: Any, tokenizer: Any, prompts: list[str], max_new_tokens: int = 60) -> list[str]:
    """What `model` answers to each prompt at temperature 0, at most `max_new_tokens` tokens."""
    import torch

    texts = []
    model.eval()
    for prompt in prompts:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(
                **inputs, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        texts.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return texts
