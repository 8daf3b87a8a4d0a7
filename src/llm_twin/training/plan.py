"""What a model needs to be served and trained, which GPUs it fits, and how to serve it, from its configuration alone.

Nothing is downloaded or allocated. Decoding is bound by memory bandwidth: every new token reads all weights and the
cache once (Pope et al. 2022), which is where the estimated speeds come from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_twin.errors import ModelError
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.memory import GIB, count_parameters_of, kv_cache_bytes, training_memory, weight_bytes

SHAPES = Path(__file__).parent / "shapes.json"
HEADROOM = 0.9  # of a GPU's memory, as vLLM's default
PRECISIONS = ("fp32", "bf16", "int8", "gptq8", "gptq4", "gptq3", "nf4")


@dataclass(frozen=True)
class Gpu:
    """A GPU: memory in GiB, bandwidth in GB/s, and whether it computes in bf16 and fp8."""

    name: str
    memory: float
    bandwidth: float
    bf16: bool
    fp8: bool


# makers' datasheets
GPUS = (
    Gpu("T4", 15, 320, False, False),
    Gpu("RTX 3090", 24, 936, True, False),
    Gpu("A10G", 22.5, 600, True, False),
    Gpu("L4", 22.5, 300, True, True),
    Gpu("RTX 4090", 24, 1008, True, True),
    Gpu("A100 40 GB", 40, 1555, True, False),
    Gpu("L40S", 45, 864, True, True),
    Gpu("A100 80 GB", 80, 2039, True, False),
    Gpu("H100 80 GB", 80, 3350, True, True),
    Gpu("H200", 141, 4800, True, True),
)


@dataclass(frozen=True)
class Advice:
    """One choice of an inference strategy and why."""

    topic: str
    choice: str
    reason: str


@dataclass(frozen=True)
class Fit:
    """How one GPU takes the model in one precision: how many requests at once, and the speed of one."""

    gpu: str
    precision: str
    gpus: int
    requests: int
    tokens_per_second: float


@dataclass(frozen=True)
class Plan:
    """All of it; bytes throughout."""

    name: str
    parameters: int
    context: int
    tokens: int
    kv_cache: float  # of one request of `tokens` tokens, 16 bit
    kv_cache_all_heads: float  # what the formula without grouped queries would say
    weights: dict[str, float]
    training: dict[str, float]
    fits: list[Fit]
    advice: list[Advice]


def find_config(name: str, token: str | None = None) -> Any:
    """A configuration by local folder, config.json, known name (offline) or hub id; raises ModelError."""
    from transformers import AutoConfig

    path = Path(name).expanduser()
    if path.is_file() or (path / "config.json").is_file():
        content = json.loads((path if path.is_file() else path / "config.json").read_text(encoding="utf-8"))
        content.pop("quantization_config", None)
        return _from_content(content, name)
    known = json.loads(SHAPES.read_text(encoding="utf-8"))
    short = name.rsplit("/", 1)[-1].lower().removeprefix("meta-").removesuffix("-instruct")
    for shape, content in known.items():
        if shape.lower() == short:
            return _from_content(content, name)
    try:
        return AutoConfig.from_pretrained(name, token=token)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"no configuration for {name!r}: no such folder, not among the known models, and the hub did not give it",
            f"give a folder, a config.json, or one of {', '.join(known)}",
        ) from error


def _from_content(content: dict[str, Any], name: str) -> Any:
    from transformers import AutoConfig

    kind = content.get("model_type")
    if not kind:
        raise ModelError(f"the configuration of {name} names no model_type", "give a config.json of transformers")
    try:
        return AutoConfig.for_model(kind, **{key: value for key, value in content.items() if key != "model_type"})
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"transformers knows no model of type {kind!r}", "choose a Llama-, Qwen- or Mistral-like one"
        ) from error


def make_plan(config: Any, name: str, tokens: int, requests: int, recipe: TrainingRecipe | None = None) -> Plan:
    """Plan for `requests` requests at once of `tokens` tokens each. Raises ModelError when the context is shorter."""
    context = int(getattr(config, "max_position_embeddings", 0) or 0)
    if context and tokens > context:
        raise ModelError(f"{name} takes {context:,} tokens, not {tokens:,}", f"ask for --tokens {context} or fewer")
    counted = count_parameters_of(config)
    cache = kv_cache_bytes(config, tokens)
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    weights = {precision: weight_bytes(config, precision) for precision in PRECISIONS}
    fits = [fit for gpu in GPUS for fit in _fits_of(gpu, weights, cache, requests)]
    return Plan(
        name=name,
        parameters=counted.total,
        context=context,
        tokens=tokens,
        kv_cache=cache,
        kv_cache_all_heads=cache * heads / kv_heads,
        weights=weights,
        training=_training_table(config, recipe or TrainingRecipe()),
        fits=fits,
        advice=advise(config, weights, cache, requests),
    )


def _training_table(config: Any, recipe: TrainingRecipe) -> dict[str, float]:
    table = {}
    for method, checkpointing in (("full", True), ("lora", True), ("lora", False), ("qlora", True), ("qlora", False)):
        changed = recipe.model_copy(update={"method": method})
        label = f"{method}, {'with' if checkpointing else 'without'} gradient checkpointing"
        table[label] = training_memory(config, changed, "cuda", "bf16", checkpointing).total
    return table


def _fits_of(gpu: Gpu, weights: dict[str, float], cache: float, requests: int) -> list[Fit]:
    """The best precisions for a GPU: the widest that holds the requests on one card, and GPTQ where that is better."""
    found = []
    for precision in ("bf16", "gptq8", "gptq4"):
        room = gpu.memory * GIB * HEADROOM - weights[precision] - 0.5 * GIB  # half a GiB of activations
        held = int(room // cache) if room > 0 else 0
        if held >= 1:
            speed = gpu.bandwidth * 1e9 / (weights[precision] + cache) * 0.7  # of the bandwidth is reached in practice
            found.append(Fit(gpu.name, precision, 1, held, speed))
            if held >= requests:
                break
    if not found:
        need = weights["bf16"] + requests * cache
        cards = 2
        while cards <= 8 and cards * gpu.memory * GIB * HEADROOM < need + cards * 0.5 * GIB:
            cards *= 2
        if cards <= 8:
            room = cards * (gpu.memory * HEADROOM - 0.5) * GIB - weights["bf16"]
            speed = cards * gpu.bandwidth * 1e9 / (weights["bf16"] + cache) * 0.5  # the cards wait for each other
            found.append(Fit(gpu.name, "bf16", cards, int(room // cache), speed))
    return found


def advise(config: Any, weights: dict[str, float], cache: float, requests: int) -> list[Advice]:
    """An inference strategy: precision, batching, parallelism, speculative decoding, engine; each with its reason."""
    need = weights["bf16"] + requests * cache
    single = [gpu for gpu in GPUS if need <= gpu.memory * GIB * HEADROOM - 0.5 * GIB]
    advice = []
    if single and single[0].memory <= 24:
        advice.append(
            Advice(
                "quantization", "none (bf16)", f"{need / GIB:.1f} GiB fit a {single[0].name}; 4 bit would save nothing"
            )
        )
    elif weights["gptq4"] + requests * cache <= 24 * GIB * HEADROOM:
        saved = weights["bf16"] - weights["gptq4"]
        reason = f"saves {saved / GIB:.1f} GiB, which fits a 24 GB card; measure perplexity first (benchmarks gptq)"
        advice.append(Advice("quantization", "GPTQ 4 bit", reason))
    else:
        advice.append(Advice("quantization", "GPTQ 8 bit or FP8", "halves the weights at hardly any loss"))
    share = requests * cache / (weights["bf16"] + requests * cache)
    kv_choice = "FP8 key-value cache" if share > 0.4 else "16-bit key-value cache"
    advice.append(Advice("cache", kv_choice, f"the cache is {share:.0%} of the memory at {requests} requests"))
    if requests > 1:
        reason = f"{requests} requests share each read of the weights; a padded batch waits for its longest"
        advice.append(Advice("batching", "continuous, with prefix caching", reason))
    else:
        advice.append(Advice("batching", "none", "one request at a time leaves nothing to share"))
    if single:
        advice.append(Advice("parallelism", "none: replicas", f"one {single[0].name} holds it; scale out by pods"))
    else:
        advice.append(
            Advice("parallelism", "tensor parallel", "no single card holds it in 16 bit; keep it within a node")
        )
    if requests <= 4 and weights["bf16"] > 4 * GIB:
        reason = "few requests leave the processor idle while weights are read; n-gram drafts quote sources well"
        advice.append(Advice("speculative decoding", "n-gram (prompt lookup)", reason))
    else:
        reason = "a small model, or many requests, already use the processor; drafts would cost more than they save"
        advice.append(Advice("speculative decoding", "off", reason))
    if count_parameters_of(config).total < 5e8:
        advice.append(Advice("engine", "the local predictor, or vLLM", "below half a billion parameters a CPU will do"))
    else:
        advice.append(Advice("engine", "vLLM, or TGI", "both serve GPTQ and swap LoRA adapters on one base"))
    return advice
