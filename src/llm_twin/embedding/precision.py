"""Which number format an encoder computes in: bf16 where the processor has units for it, else fp32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from llm_twin.errors import InputError

BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


def choose_precision(wanted: str) -> str:
    """Resolve auto to bf16 or fp32. Raises InputError for another name."""
    if wanted not in ("auto", "fp32", "bf16"):
        raise InputError(f"unknown precision {wanted!r}", "use auto, fp32 or bf16")
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16_units() else "fp32"


@cache
def has_bf16_units() -> bool:
    """Whether the processor (or a CUDA device) multiplies bf16 natively; without that it is slower than fp32."""
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        flags = next((line for line in cpu.read_text().splitlines() if line.startswith("flags")), "")
        if BF16_FLAGS & set(flags.split()):
            return True
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
