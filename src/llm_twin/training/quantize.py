"""GPTQ quantization (Frantar et al. 2022) in an environment of its own, called as a process.

gptqmodel and kfp want versions of protobuf that exclude each other, so this module only prepares a request, starts
the other interpreter on `gptq/worker.py` (which imports nothing of ours) and reads its answer. What loads the
quantized model (perplexity, answers) runs there too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from llm_twin.errors import InputError, ModelError, ServiceError
from llm_twin.progress import PREFIX, report
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.export import make_loadable_by_transformers_4
from llm_twin.training.gptq import worker
from llm_twin.training.samples import training_instructions

CALIBRATION_TOKENS = 2048  # of one passage: longer ones cost memory and gain nothing
WORKER = Path(worker.__file__)
REMEDY = "run `make install`, or set LLM_TWIN_QUANTIZE_PYTHON to the interpreter of an environment with gptqmodel"


def quantize_model(
    merged: Path, samples: Path, recipe: TrainingRecipe, quantized: Path, python: Path | None
) -> dict[str, float]:
    """Quantize `merged` to the recipe's bits into `quantized`, calibrated on the author's own training text.

    Returns sizes and their ratio for the quantized layers. Raises InputError when the environment is missing,
    ModelError when the model's layers do not suit the group size, ServiceError when the process fails.
    """
    texts = [sample.output for sample in training_instructions(samples)]
    check_group_size(merged, recipe.quantize_group_size)
    check_widths(merged, recipe.quantize_bits)
    answer = run_worker(
        python,
        {
            "task": "quantize",
            "model": str(merged),
            "target": str(quantized),
            "bits": recipe.quantize_bits,
            "group_size": recipe.quantize_group_size,
            "texts": spread(texts, recipe.quantize_samples * 8),
            "samples": recipe.quantize_samples,
            "max_length": min(recipe.max_length, CALIBRATION_TOKENS),
            "seed": recipe.seed,
        },
    )
    make_loadable_by_transformers_4(quantized)
    return {name: float(value) for name, value in answer.items()}


def measure_models(
    python: Path | None, models: dict[str, Path], texts: list[str], max_length: int, prompts: list[str]
) -> dict[str, Any]:
    """Losses of `texts` and answers to `prompts` (temperature 0) under each model, in the quantization environment.

    Returns, for each model's name, `losses`: [[summed nats, tokens], …] by text, and `answers`: [text, …]. Loss
    windows are those of perplexity.document_losses, so the figures compare.
    """
    request = {"task": "measure", "models": {name: str(path) for name, path in models.items()}}
    return run_worker(python, {**request, "texts": texts, "max_length": max_length, "prompts": prompts})


def spread(items: list[str], count: int) -> list[str]:
    """At most `count` of `items`, at even distances."""
    if len(items) <= count:
        return items
    return [items[i * len(items) // count] for i in range(count)]


def check_group_size(model: Path, group_size: int) -> None:
    """Raise ModelError when a layer's inputs do not divide into groups; say which sizes would."""
    from llm_twin.training.base import load_config

    config = load_config(model)
    widths = [config.hidden_size, getattr(config, "intermediate_size", config.hidden_size)]
    if group_size > 0 and any(width % group_size for width in widths):
        fitting = [size for size in (128, 64, 32, 16) if not any(width % size for width in widths)]
        raise ModelError(
            f"layers of width {' and '.join(map(str, widths))} do not divide into groups of {group_size}",
            f"set training.quantize_group_size to {' or '.join(map(str, fitting)) or -1}",
        )


def check_widths(model: Path, bits: int) -> None:
    """Raise ModelError when a layer's outputs do not fill the 32-bit words that hold their zero points."""
    from llm_twin.training.base import load_config

    config = load_config(model)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    narrow = min(heads * size, config.hidden_size, getattr(config, "intermediate_size", config.hidden_size))
    if narrow * bits % 32:
        raise ModelError(
            f"GPTQ of {bits} bit packs {'32' if bits == 3 else str(32 // bits)} outputs together, a layer has {narrow}",
            "set training.quantize_bits to 4 or 8",
        )


def find_python(python: Path | None) -> Path:
    """The quantization environment's interpreter; raises InputError when it is not there."""
    if python is None or not python.exists():
        where = f"{python} does not exist" if python else "no interpreter is named"
        raise InputError(f"the quantization environment is missing: {where}", REMEDY)
    return python


def run_worker(python: Path | None, request: dict[str, Any]) -> dict[str, Any]:
    """Run `gptq/worker.py` on `request`, passing its progress lines on; return its answer.

    The worker is killed when this process is interrupted. Raises ServiceError with its last words when it fails.
    """
    interpreter = find_python(python)
    with tempfile.TemporaryDirectory(prefix="gptq-") as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(request), encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # its threads are many: no spinning
        environment.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, os.cpu_count() or 2)))
        process = subprocess.Popen(
            [str(interpreter), str(WORKER), str(asked), str(answered)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        words: list[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                words = [*words[-30:], line.rstrip()]
                if line.startswith(PREFIX):
                    report(line.removeprefix(PREFIX).strip())
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code or not answered.is_file():
            print("\n".join(words), file=sys.stderr)
            raise ServiceError(f"quantization failed (exit {code}): {_last_words(words)}", REMEDY)
        return json.loads(answered.read_text(encoding="utf-8"))


def _last_words(words: list[str]) -> str:
    spoken = [word for word in words if word.strip() and not word.startswith(" ")]
    return spoken[-1][:300] if spoken else "no output"
