"""What SFT and DPO share: the arguments of a run, LoRA, resuming, stopping on NaN, and saving in one move."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_twin.errors import QualityError, TwinError
from llm_twin.progress import report
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.batching import split_step, use_sampler
from llm_twin.training.callbacks import stop_on_nan, watch_progress
from llm_twin.training.checkpoints import disk_error, guard_checkpoints, last_complete, refused_write
from llm_twin.training.export import make_readable
from llm_twin.training.folders import whole_folder
from llm_twin.training.hardware import Hardware


@dataclass
class TrainingResult:
    """What a training step hands on: figures, the curve, and texts written before and after."""

    method: str
    figures: dict[str, float]  # deterministic on one machine: no times
    speed: dict[str, float]  # seconds, tokens a second, memory
    history: list[dict[str, float]]  # transformers' log history
    notes: list[str] = field(default_factory=list)
    writings: list[dict[str, str]] = field(default_factory=list)  # prompt, before, after, author

    def summary(self) -> str:
        """One line of what came of it."""
        figures = self.figures
        if "heldout_reward_accuracy" in figures:
            return f"held-out pairs told apart: {figures['heldout_reward_accuracy']:.0%}"
        if "validation_loss" in figures:
            before = figures.get("validation_loss_before")
            return f"validation loss {f'{before:.2f} → ' if before else ''}{figures['validation_loss']:.2f}"
        return f"training loss {figures.get('train_loss', float('nan')):.2f}"


def common_arguments(
    recipe: TrainingRecipe, hardware: Hardware, work: Path, samples: int, batch: int, epochs: float, rate: float
) -> dict[str, Any]:
    """The part of TRL's arguments that SFT and DPO have in common, for steps of `batch` samples at `rate`."""
    total_steps = count_steps(recipe, samples, batch, epochs)
    size, parts = split_step(batch, hardware.batching == "length")
    return {
        "output_dir": str(work),
        "num_train_epochs": epochs,
        "learning_rate": rate,
        "lr_scheduler_type": "constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
        "warmup_steps": math.ceil(total_steps * recipe.warmup_share),
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_gradient_norm,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": parts * recipe.gradient_accumulation,
        "gradient_checkpointing": hardware.gradient_checkpointing,
        "optim": "paged_adamw_8bit" if recipe.method == "qlora" and hardware.device == "cuda" else "adamw_torch_fused",
        "bf16": hardware.precision == "bf16",
        "fp16": hardware.precision == "fp16",
        "use_cpu": hardware.device == "cpu",
        "use_liger_kernel": hardware.liger,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a NaN must be seen, not averaged away
        "save_strategy": "steps",
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "restore_callback_states_from_checkpoint": True,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": hardware.device == "cuda",
    }


def count_steps(recipe: TrainingRecipe, samples: int, batch: int, epochs: float) -> int:
    """Optimizer steps of a run, of all processes together: under torchrun each adds a batch to a step."""
    together = batch * recipe.gradient_accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    return math.ceil(math.ceil(samples / together) * epochs)


def lora_config(recipe: TrainingRecipe) -> Any:
    """LoRA on every linear layer but the output head (Hu et al. 2021; all layers: Dettmers et al. 2023)."""
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def load_for_training(base: Path, recipe: TrainingRecipe, hardware: Hardware) -> Any:
    """The base model as the method needs it: NF4 with double quantization for QLoRA, else in full."""
    import torch

    from llm_twin.training.base import load_model

    options: dict[str, Any] = {"attn_implementation": hardware.attention}
    if recipe.method == "full":
        return load_model(base, torch.float32, **options)  # master weights; autocast computes in half precision
    if recipe.method == "qlora":
        from transformers import BitsAndBytesConfig

        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=hardware.torch_dtype,
        )
        options["device_map"] = {"": 0} if hardware.device == "cuda" else "cpu"
    model = load_model(base, hardware.torch_dtype, **options)
    return keep_trainable(model) if recipe.method == "qlora" else model


def keep_trainable(model: Any) -> Any:
    """Keep bitsandbytes from packing 4-bit weights for a processor's fast inference, which it does at the first forward
    pass in evaluation mode: packed layers have no backward pass, and what lies before them would learn nothing."""
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
    return model


def run_trainer(
    trainer: Any, what: str, by_length: bool, work: Path, watchers: list[Callable[[Any], None]] | None = None
) -> float:
    """Train, going on from the last complete checkpoint in `work` if there is one. Returns the seconds it took.

    Raises QualityError when the loss stops being a number, TwinError when a checkpoint cannot be written.
    """
    use_sampler(trainer, by_length)
    watch_progress(trainer, what)
    stop_on_nan(trainer)
    for watch in watchers or []:
        watch(trainer)
    guard_checkpoints(trainer)
    resume = last_complete(work)
    if resume:
        report(f"{what}: going on from {resume.name}")
    begun = time.monotonic()
    try:
        with autocast_alone(trainer):
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except Exception as error:
        if (named := _name_error(error, work)) is None:
            raise
        raise named from error
    return time.monotonic() - begun


def autocast_alone(trainer: Any) -> AbstractContextManager[None]:
    """Where autocast computes in half precision, keep PEFT from casting each layer's input to 32 bit before it."""
    from peft.helpers import disable_input_dtype_casting

    return disable_input_dtype_casting(trainer.model, active=bool(trainer.args.bf16 or trainer.args.fp16))


def _name_error(error: Exception, work: Path) -> TwinError | None:
    """A full disk or too little memory as an error with a remedy; None for what is named already or is not ours."""
    if isinstance(error, TwinError):
        return None
    if refused := refused_write(error):
        return disk_error(refused, work)
    if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
        return TwinError(
            f"out of memory while training: {str(error).splitlines()[0][:160]}",
            "lower training.sft_batch_size or max_length, set gradient_checkpointing: on, or method: qlora",
        )
    return None


def is_sharded(trainer: Any) -> bool:
    """Whether each process holds a part of the weights only (FSDP, DeepSpeed ZeRO 3)."""
    return bool(trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def gather_weights(trainer: Any) -> dict[str, Any] | None:
    """All weights of a sharded model, in the first process; None where the model holds them itself."""
    return trainer.accelerator.get_state_dict(trainer.model_wrapped) if is_sharded(trainer) else None


def save_trained(
    model: Any, tokenizer: Any, folder: Path, record: dict[str, Any], weights: dict[str, Any] | None = None
) -> None:
    """Write the adapter (or the whole model) with its tokenizer and run record beside `folder`, then in its place.

    `weights` are those of a sharded model, gathered. Raises TwinError when the disk refuses.
    """
    if os.environ.get("RANK", "0") != "0":
        return  # under torchrun every process has the weights, and the first writes them
    try:
        with whole_folder(folder) as beside:
            if hasattr(model, "peft_config"):
                # a path of this machine would make equal adapters differ, and mean nothing elsewhere
                model.peft_config["default"].base_model_name_or_path = record["recipe"]["base_model"]
                model.save_pretrained(beside, selected_adapters=["default"], state_dict=weights)
            else:
                model.save_pretrained(beside, state_dict=weights)
            (beside / "README.md").unlink(missing_ok=True)  # PEFT's empty card; ours is written at registration
            tokenizer.save_pretrained(beside)
            text = json.dumps(record, indent=2, sort_keys=True) + "\n"
            (beside / "training.json").write_text(text, encoding="utf-8")
            make_readable(beside)
    except Exception as error:
        refused = refused_write(error)
        if refused is None:
            raise
        raise disk_error(refused, folder) from error


def check_finite(value: float, what: str) -> float:
    """Return `value`, or raise QualityError when it is not a number."""
    if not math.isfinite(value):
        raise QualityError(f"{what} is {value}", "lower the learning rate or raise training.warmup_share")
    return value


def peak_memory_mb(hardware: Hardware) -> float:
    """Peak resident memory of this process, or peak allocated memory of the GPU, in MB."""
    import resource

    import torch

    if hardware.device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
