"""What fits this machine, and what is missing: the checks behind `twin doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from llm_twin.errors import TwinError
from llm_twin.local.home import open_home
from llm_twin.local.services import can_connect, free_port

GIB = 2**30
SAMPLE_PEAK_BYTES = 6 * GIB
SAMPLE_DISK_BYTES = 3 * GIB
# Of the machine whose figures the README gives: two cores, seconds for `_time_matmul`, for the sample recipe.
REFERENCE_MATMUL_SECONDS = 0.30
REFERENCE_RUN_SECONDS = 330
# LoRA in float32: weights, their gradients' and optimizer's share for the adapter, activations of one small batch.
TRAINING_BYTES_PER_PARAMETER = 6.0
MODELS = {
    "seedling (made here)": 4e6,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 135e6,
    "HuggingFaceTB/SmolLM2-360M-Instruct": 362e6,
    "Qwen/Qwen2.5-0.5B-Instruct": 494e6,
    "Qwen/Qwen2.5-1.5B-Instruct": 1.54e9,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03e9,
}


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` is empty where nothing need be done. `needed` False: only some recipes want it."""

    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine(root: Path, hub_host: str = "huggingface.co") -> Iterator[Check]:
    """Yield the findings, quick ones first."""
    yield _check_python()
    yield _check_home(root)
    yield _check_disk(root)
    yield _check_memory()
    yield _check_packages()
    yield _check_quantizer()
    yield _check_ports()
    yield _check_hub(hub_host)
    yield _estimate_time()


def fitting_models() -> list[tuple[str, float, bool]]:
    """(model, GiB that LoRA training of it needs, whether this machine has them) by size."""
    available = psutil.virtual_memory().total
    needs = [
        (name, (parameters * TRAINING_BYTES_PER_PARAMETER + 1.5 * GIB) / GIB) for name, parameters in MODELS.items()
    ]
    return [(name, need, need * GIB < available) for name, need in needs]


def _check_python() -> Check:
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Check("Python", good, platform.python_version(), "" if good else "install Python 3.11 or 3.12")


def _check_home(root: Path) -> Check:
    try:
        open_home(root)
    except TwinError as error:
        return Check("home folder", False, error.message, error.remedy)
    return Check("home folder", True, f"{root} (can be written)")


def _check_disk(root: Path) -> Check:
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    good = free > SAMPLE_DISK_BYTES
    return Check(
        "disk", good, f"{free / GIB:.0f} GiB free", "" if good else "free 3 GiB, or set LLM_TWIN_HOME elsewhere"
    )


def _check_memory() -> Check:
    memory = psutil.virtual_memory()
    good = memory.available > SAMPLE_PEAK_BYTES
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free, {os.cpu_count()} cores"
    return Check("memory", good, found, "" if good else "the sample recipe wants up to 6 GiB: close something")


def _check_packages() -> Check:
    wanted = ("torch", "transformers", "peft", "trl", "kfp", "kserve", "mlflow", "evidently", "ragas", "nx-27017")
    missing = []
    for name in wanted:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    found = f"missing: {', '.join(missing)}" if missing else f"torch {metadata.version('torch')}, all there"
    return Check("packages", not missing, found, "run `make install`" if missing else "")


def _check_quantizer() -> Check:
    python = os.environ.get("LLM_TWIN_QUANTIZE_PYTHON", "")
    remedy = "run `make install`, or set LLM_TWIN_QUANTIZE_PYTHON to an interpreter that has gptqmodel"
    if not python:
        return Check("quantization environment", False, "LLM_TWIN_QUANTIZE_PYTHON is not set", remedy)
    command = [python, "-c", "from importlib.metadata import version; print(version('gptqmodel'))"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("quantization environment", False, str(error), remedy)
    if done.returncode:
        return Check("quantization environment", False, f"{python} has no gptqmodel", remedy)
    return Check("quantization environment", True, f"gptqmodel {done.stdout.strip()}")


def _check_ports() -> Check:
    taken = [port for port in (8080, 8081) if can_connect(port)]
    if taken:
        listed = ", ".join(map(str, taken))
        return Check("ports", False, f"in use: {listed}", "give `twin serve --port N` a free one", needed=False)
    return Check("ports", True, f"8080 and 8081 are free; {free_port()} would be next")


def _check_hub(host: str) -> Check:
    import httpx

    try:
        status = httpx.head(f"https://{host}/", timeout=5, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        remedy = "fine for the recipe sample; others need a local model folder as base_model"
        return Check("model hub", False, f"{host} cannot be reached ({type(error).__name__})", remedy, needed=False)
    return Check("model hub", status < 500, f"{host} answers ({status})", needed=False)


def _estimate_time() -> Check:
    scale = _time_matmul() / REFERENCE_MATMUL_SECONDS
    return Check("time", True, f"the sample recipe's first run: about {REFERENCE_RUN_SECONDS * scale / 60:.0f} minutes")


def _time_matmul() -> float:
    """Seconds for ten products of 1024×1024 float32 matrices, the better of two tries."""
    import numpy

    matrix = numpy.ones((1024, 1024), dtype=numpy.float32)
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        for _ in range(10):
            matrix @ matrix
        best = min(best, time.perf_counter() - begun)
    return best
