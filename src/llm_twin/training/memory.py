"""How much memory a model needs, to serve and to train, from its configuration alone.

Parameters are counted on torch's meta device: exact, offline, and without allocating a weight. Activations follow
Korthikanti et al. 2022 (34 bytes a token, layer and hidden unit in 16 bit) without the attention matrix, which no
kernel used here keeps; the output layer's logits are counted on their own, because with a large vocabulary and a
small model they are the largest part.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from llm_twin.recipe_training import TrainingRecipe

GIB = 2**30
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0}
NF4_BITS = 4.127  # a parameter, with double quantization (Dettmers et al. 2023, section 3)
GPTQ_EXTRA_BITS = 16 + 4  # a group: a half-precision scale and a packed zero
RUNTIME_BYTES = {"cpu": 0.6 * GIB, "cuda": 0.8 * GIB}  # interpreter, libraries; CUDA context


@dataclass(frozen=True)
class Parameters:
    """Counts: all of them, those in linear layers of the blocks (what LoRA and GPTQ touch), and the vocabulary's."""

    total: int
    linear: int
    vocabulary: int
    linear_sides: tuple[tuple[int, int], ...]  # (in, out) of every such layer


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a training run at its peak."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    runtime: float

    @property
    def total(self) -> float:
        """All together, in bytes."""
        return sum(asdict(self).values())


def count_parameters_of(config: Any) -> Parameters:
    """Parameters of the causal language model that `config` (a transformers configuration) describes."""
    return _count(config.model_type, config.to_json_string(use_diff=False))


@cache
def _count(kind: str, content: str) -> Parameters:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    left_out = {"quantization_config", "model_type"}
    config = AutoConfig.for_model(kind, **{k: v for k, v in json.loads(content).items() if k not in left_out})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    sides = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            sides.append((module.in_features, module.out_features))
    total = sum(parameter.numel() for parameter in model.parameters())  # tied weights count once
    linear = sum(ins * outs for ins, outs in sides)
    return Parameters(total, linear, total - linear, tuple(sides))


def weight_bytes(config: Any, precision: str, group_size: int = 128) -> float:
    """Bytes of the weights in `precision`: fp32, bf16, fp16, int8, nf4, gptq3, gptq4 or gptq8."""
    counted = count_parameters_of(config)
    if precision in BYTES:
        if precision == "int8":
            return counted.linear * 1.0 + counted.vocabulary * 2.0
        return counted.total * BYTES[precision]
    bits = NF4_BITS if precision == "nf4" else int(precision.removeprefix("gptq")) + GPTQ_EXTRA_BITS / group_size
    return counted.linear * bits / 8 + counted.vocabulary * 2.0


def kv_cache_bytes(config: Any, tokens: int, sequences: int = 1, bytes_per_value: float = 2.0) -> float:
    """Bytes of the key-value cache: 2 × layers × key-value heads × head size × tokens × bytes.

    The number of key-value heads is the model's own (grouped-query attention shares them), and a sliding window
    caps the tokens of the layers that have one.
    """
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    if window and getattr(config, "layer_types", None) is None and getattr(config, "use_sliding_window", True):
        kinds = ["sliding_attention"] * config.num_hidden_layers
    kept = sum(min(tokens, window) if window and kind == "sliding_attention" else tokens for kind in kinds)
    return 2.0 * kept * kv_heads * head_size * bytes_per_value * sequences


def lora_parameters(config: Any, rank: int) -> int:
    """Trainable parameters of LoRA on every linear layer of the blocks."""
    return sum(rank * (ins + outs) for ins, outs in count_parameters_of(config).linear_sides)


def training_memory(
    config: Any, recipe: TrainingRecipe, device: str, precision: str, checkpointing: bool, step: str = "sft"
) -> MemoryEstimate:
    """Peak memory of SFT or DPO by the recipe's method, batch size and length."""
    counted = count_parameters_of(config)
    width = BYTES[precision]
    if recipe.method == "full":
        weights = counted.total * (4.0 + (width if width < 4 else 0))  # masters, and autocast's copies
        trainable = counted.total
    else:
        trainable = lora_parameters(config, recipe.lora_rank)
        base = weight_bytes(config, "nf4") if recipe.method == "qlora" else counted.total * width
        weights = base + trainable * 4.0
    if step == "dpo":
        weights += weights if recipe.method == "full" else trainable * 4.0  # the reference
    paged = recipe.method == "qlora" and device == "cuda"
    batch = recipe.sft_batch_size if step == "sft" else 2 * recipe.dpo_batch_size
    tokens = batch * min(recipe.max_length, getattr(config, "max_position_embeddings", recipe.max_length))
    layer = 34 / 2 * width * tokens * config.hidden_size
    if checkpointing:
        activations = layer + width * tokens * config.hidden_size * config.num_hidden_layers
    else:
        activations = layer * config.num_hidden_layers
    return MemoryEstimate(
        weights=weights,
        gradients=trainable * 4.0,
        optimizer=trainable * (2.0 if paged else 8.0),
        activations=activations,
        logits=2 * tokens * config.vocab_size * 4.0,
        runtime=RUNTIME_BYTES[device],
    )
