"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8")


def describe_machine() -> str:
    """Processor, cores, the features that matter to these figures, memory, Python."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    flags = set(next((line for line in text.splitlines() if line.startswith("flags")), "").split())
    features = ", ".join(name for name in FEATURES if name in flags) or "no AVX-512 or AMX"
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores ({features}), "
        f"{memory:.0f} GiB, Python {platform.python_version()}"
    )
