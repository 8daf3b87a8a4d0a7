"""What recipes ask of the local predictor, as its arguments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from llm_twin.errors import InputError
from llm_twin.serving.twins import Twin


def speed_arguments(twins: Sequence[Twin]) -> list[str]:
    """The predictor's arguments for `compile` and for what of `engine` it can do: `speculative_tokens`, `draft_model`,
    and a static `kv_cache`. Raises InputError where twins on one predictor do not agree."""
    found = []
    for twin in twins:
        engine, arguments = twin.serving.engine, []
        if engine.speculative_tokens:
            arguments += ["--speculation", "draft" if engine.draft_model else "lookup"]
            arguments += ["--guesses", str(engine.speculative_tokens)]
        if engine.draft_model:
            arguments += ["--draft-model", engine.draft_model]
        arguments += ["--compile"] * twin.serving.compile + ["--static-cache"] * (engine.kv_cache == "static")
        found.append(arguments)
    if any(arguments != found[0] for arguments in found):
        raise InputError(
            "these twins share a predictor and ask for different speculative_tokens, draft_model, kv_cache or compile",
            "make their recipes agree, or serve them apart, one with --author",
        )
    return found[0] if found else []


def find_python(twins: Sequence[Twin], quantize_python: Path | None) -> Path:
    """The interpreter that can load the twins' model: gptqmodel and kfp exclude each other, so GPTQ has its own.

    Raises InputError where that is not there.
    """
    if all(twin.serving.model != "gptq" for twin in twins):
        return Path(sys.executable)
    if quantize_python is None or not quantize_python.is_file():
        raise InputError(
            f"serving.model: gptq needs the quantization environment, and it is not there: {quantize_python}",
            "run `make install`, or set LLM_TWIN_QUANTIZE_PYTHON to an interpreter that has gptqmodel",
        )
    return quantize_python
