"""What the machine can do, and what follows from it for a training run: device, precision, attention, batching."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from typing import Any

from llm_twin.errors import ModelError
from llm_twin.recipe_training import TrainingRecipe


@dataclass(frozen=True)
class Hardware:
    """The choices for one run; every `auto` of the recipe is settled here."""

    device: str  # cpu or cuda
    precision: str  # fp32, bf16 or fp16
    attention: str  # sdpa, flash_attention_2 or eager
    batching: str  # length, packed or plain
    liger: bool
    gradient_checkpointing: bool

    @property
    def torch_dtype(self) -> Any:
        """The torch dtype in which frozen weights are held."""
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the run's record."""
        return asdict(self)


def has_bf16_cpu() -> bool:
    """Whether this processor multiplies bf16 numbers itself: AVX-512 BF16 or AMX. Elsewhere they are emulated."""
    import torch

    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def settle_hardware(recipe: TrainingRecipe, parameters: int = 0) -> Hardware:
    """Settle the recipe's `auto` values for this machine and a model of `parameters` parameters.

    On a CPU: bf16 where the chip computes in it (AVX-512 BF16, AMX), else single precision; samples of similar length
    together (measured faster than packing there) and no gradient checkpointing below a billion parameters. On a GPU:
    bf16 where the chip has it, else fp16; FlashAttention and with it packing where the package is there. Raises
    ModelError when the recipe asks for a GPU and there is none.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if recipe.device == "cuda" and not has_gpu:
        raise ModelError("training.device is cuda, but torch finds no GPU", "set training.device to auto or cpu")
    device = "cuda" if has_gpu and recipe.device != "cpu" else "cpu"
    flash = device == "cuda" and importlib.util.find_spec("flash_attn") is not None
    precision = recipe.precision
    if precision == "auto":
        has_bf16 = has_bf16_cpu() if device == "cpu" else torch.cuda.is_bf16_supported()
        precision = "bf16" if has_bf16 else ("fp32" if device == "cpu" else "fp16")
    if precision == "fp16" and device == "cpu":
        raise ModelError("fp16 cannot be trained on a CPU", "set training.precision to auto, fp32 or bf16")
    attention = recipe.attention
    if attention == "auto":
        attention = "flash_attention_2" if flash and precision != "fp32" else "sdpa"
    if attention == "flash_attention_2" and not flash:
        raise ModelError("flash_attention_2 needs a GPU and the package flash-attn", "set training.attention to auto")
    batching = recipe.batching
    if batching == "auto":
        batching = "packed" if attention == "flash_attention_2" else "length"
    liger_there = device == "cuda" and importlib.util.find_spec("liger_kernel") is not None
    if recipe.liger == "on" and not liger_there:
        raise ModelError("training.liger is on, but it needs a GPU and the package liger-kernel", "set it to auto")
    checkpointing = recipe.gradient_checkpointing
    return Hardware(
        device=device,
        precision=precision,
        attention=attention,
        batching=batching,
        liger=liger_there and recipe.liger != "off",
        gradient_checkpointing=checkpointing == "on" or (checkpointing == "auto" and parameters >= 1_000_000_000),
    )
