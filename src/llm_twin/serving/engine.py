"""A recipe's engine settings as arguments of TGI and vLLM, and as the patch that puts them into a ServingRuntime."""

from __future__ import annotations

import json
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
# Both lay their room for keys and values out when they start, so that `static` asks nothing of them.
KV_CACHE = {"tgi": {"fp8": "fp8_e4m3fn"}, "vllm": {"fp8": "fp8"}}
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM takes
NGRAM = 4  # tokens: how long a piece of the prompt vLLM looks for
PROMPT_SHARE = 0.75  # of a request's tokens, TGI's limit for the prompt; the rest is for the answer
# Where the manifests' own arguments stand that a recipe's take the place of: both engines refuse one given twice.
PLACES = {"tgi": {"--max-input-tokens": 2, "--max-total-tokens": 3}, "vllm": {"--max-model-len": 3}}
MANIFEST = {"--max-input-tokens": "3072", "--max-total-tokens": "4096", "--max-model-len": "4096"}


def engine_arguments(recipe: EngineRecipe, engine: str) -> list[str]:
    """The arguments beside (or in place of) those of the manifest; none where the recipe asks for nothing.

    Raises InputError for what the engine cannot do. Names as in TGI 3.3 and vLLM 0.18.
    """
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
    if recipe.kv_cache in KV_CACHE[engine]:
        arguments.append(f"--kv-cache-dtype={KV_CACHE[engine][recipe.kv_cache]}")
    return arguments + (_tgi_only(recipe) if engine == "tgi" else _vllm_only(recipe))


def engine_environment(recipe: EngineRecipe, engine: str) -> dict[str, str]:
    """The environment variables of the engine's container; TGI has no argument for its prefix cache."""
    if engine != "tgi" or recipe.prefix_caching is None:
        return {}
    return {"PREFIX_CACHING": "1" if recipe.prefix_caching else "0"}


def _tgi_only(recipe: EngineRecipe) -> list[str]:
    if recipe.draft_model:
        raise InputError(
            "TGI has no draft models: it guesses from the prompt, or with the heads of a Medusa model",
            "leave serving.engine.draft_model empty, or take vLLM",
        )
    arguments = []
    if recipe.max_tokens:
        prompt = max(1, int(recipe.max_tokens * PROMPT_SHARE))
        arguments += [f"--max-input-tokens={prompt}", f"--max-total-tokens={recipe.max_tokens}"]
    if recipe.speculative_tokens:
        arguments.append(f"--speculate={recipe.speculative_tokens}")
    return arguments  # TGI takes adapters of any rank


def _vllm_only(recipe: EngineRecipe) -> list[str]:
    arguments = []
    if recipe.max_tokens:
        arguments.append(f"--max-model-len={recipe.max_tokens}")
    if recipe.speculative_tokens:
        guessing: dict[str, Any] = {"method": "ngram", "prompt_lookup_max": NGRAM}
        if recipe.draft_model:
            guessing = {"method": "draft_model", "model": recipe.draft_model}
        guessing["num_speculative_tokens"] = recipe.speculative_tokens
        arguments.append(f"--speculative-config={json.dumps(guessing)}")
    if recipe.prefix_caching is not None:
        arguments.append("--enable-prefix-caching" if recipe.prefix_caching else "--no-enable-prefix-caching")
    if recipe.max_lora_rank:
        arguments.append(f"--max-lora-rank={next(r for r in LORA_RANKS if r >= recipe.max_lora_rank)}")
    if recipe.max_loras:
        arguments.append(f"--max-loras={recipe.max_loras}")
    return arguments


def render_engine_patch(recipe: EngineRecipe, engine: str) -> str:
    """The JSON6902 patch of ServingRuntime `twin-tgi` or `twin-vllm`: the arguments, and a GPU for each shard."""
    operations: list[dict[str, Any]] = []
    for argument in engine_arguments(recipe, engine):
        option = argument.partition("=")[0]
        if option not in PLACES[engine]:
            operations.append({"op": "add", "path": "/spec/containers/0/args/-", "value": argument})
            continue
        path = f"/spec/containers/0/args/{PLACES[engine][option]}"
        operations.append({"op": "test", "path": path, "value": f"{option}={MANIFEST[option]}"})
        operations.append({"op": "replace", "path": path, "value": argument})
    for name, value in engine_environment(recipe, engine).items():
        operations.append({"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": name, "value": value}})
    for kind in ("requests", "limits") if recipe.shards > 1 else ():
        path = f"/spec/containers/0/resources/{kind}/nvidia.com~1gpu"
        operations.append({"op": "replace", "path": path, "value": str(recipe.shards)})
    head = f"# Written by `twin engine`: for the ServingRuntime twin-{engine}.\n"
    return head + yaml.safe_dump(operations, sort_keys=False, width=120)
