"""A recipe's engine settings as arguments of TGI and vLLM, and as the patch that puts them into a ServingRuntime."""

from __future__ import annotations

from typing import Any, Literal

import yaml

from llm_twin.errors import InputError
from llm_twin.recipe_serving import EngineRecipe

Engine = Literal["tgi", "vllm"]
# What each engine calls a way of storing weights; what is not here it cannot do.
QUANTIZATION = {
    "tgi": {"gptq": "gptq", "awq": "awq", "marlin": "marlin", "fp8": "fp8", "bitsandbytes": "bitsandbytes"},
    "vllm": {"gptq": "gptq", "awq": "awq", "marlin": "gptq_marlin", "fp8": "fp8", "bitsandbytes": "bitsandbytes"},
}
KV_CACHE = {"tgi": {"fp8": "fp8_e4m3fn"}, "vllm": {"fp8": "fp8"}}


def engine_arguments(recipe: EngineRecipe, engine: str) -> list[str]:
    """The arguments beside those of the manifest; none where the recipe asks for nothing. Raises InputError."""
    if engine not in QUANTIZATION:
        raise InputError(f"no engine {engine!r}", f"one of: {', '.join(QUANTIZATION)}")
    arguments = []
    if recipe.shards > 1:
        arguments.append(
            f"--num-shard={recipe.shards}" if engine == "tgi" else f"--tensor-parallel-size={recipe.shards}"
        )
    if recipe.quantization:
        option = "--quantize" if engine == "tgi" else "--quantization"
        arguments.append(f"{option}={QUANTIZATION[engine][recipe.quantization]}")
    if recipe.kv_cache:
        arguments.append(f"--kv-cache-dtype={KV_CACHE[engine][recipe.kv_cache]}")
    return arguments


def render_engine_patch(recipe: EngineRecipe, engine: str) -> str:
    """The JSON6902 patch of ServingRuntime `twin-tgi` or `twin-vllm`: the arguments, and a GPU for each shard."""
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": "/spec/containers/0/args/-", "value": one} for one in engine_arguments(recipe, engine)
    ]
    for kind in ("requests", "limits") if recipe.shards > 1 else ():
        path = f"/spec/containers/0/resources/{kind}/nvidia.com~1gpu"
        operations.append({"op": "replace", "path": path, "value": str(recipe.shards)})
    head = f"# Written by `twin engine`: for the ServingRuntime twin-{engine}.\n"
    return head + yaml.safe_dump(operations, sort_keys=False, width=120)
