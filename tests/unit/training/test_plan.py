"""Sizes from a configuration alone: the key-value cache with the model's real heads, weights, training memory."""

from __future__ import annotations

import json

import pytest

from llm_twin.errors import ModelError
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training import memory
from llm_twin.training.plan import find_config, make_plan

GIB = 2**30


def test_llama_8b_at_2048_tokens_needs_a_quarter_gibibyte():
    plan = make_plan(find_config("meta-llama/Llama-3.1-8B-Instruct"), "8B", 2048, 1)
    assert plan.kv_cache == 0.25 * GIB
    assert plan.kv_cache_all_heads == 1.0 * GIB
    assert plan.parameters == 8_030_261_248
    assert plan.weights["bf16"] == 2 * 8_030_261_248


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Llama-3.2-1B", 1_235_814_400),
        ("Qwen2.5-0.5B", 494_032_768),
        ("Qwen2.5-7B", 7_615_616_512),
        ("Mistral-7B-v0.3", 7_248_023_552),
        ("SmolLM2-135M", 134_515_008),
        ("SmolLM2-1.7B", 1_711_376_384),
    ],
)
def test_parameters_are_those_their_makers_state(name, parameters):
    assert memory.count_parameters_of(find_config(name)).total == parameters


def test_a_sliding_window_caps_the_cache(tmp_path):
    config = {"model_type": "mistral", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
              "num_hidden_layers": 3, "intermediate_size": 128, "vocab_size": 100, "sliding_window": 16,
              "max_position_embeddings": 256}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = find_config(str(tmp_path))
    assert memory.kv_cache_bytes(found, 256) == memory.kv_cache_bytes(found, 16) == 2 * 3 * 16 * 2 * 16 * 2


def test_methods_order_as_they_must():
    config, sizes = find_config("Llama-3.1-8B"), {}
    for method in ("full", "lora", "qlora"):
        recipe = TrainingRecipe(method=method)
        sizes[method] = memory.training_memory(config, recipe, "cuda", "bf16", True).total / GIB
    assert sizes["qlora"] < 16 < sizes["lora"] < 32 < sizes["full"]
    less = memory.training_memory(config, TrainingRecipe(), "cuda", "bf16", True)
    more = memory.training_memory(config, TrainingRecipe(), "cuda", "bf16", False)
    assert less.activations < more.activations and less.weights == more.weights


def test_the_lora_count_is_what_peft_makes(tiny_base, tiny_recipe):
    from peft import get_peft_model

    from llm_twin.training.base import load_model
    from llm_twin.training.loop import lora_config

    model = get_peft_model(load_model(tiny_base), lora_config(tiny_recipe))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert memory.lora_parameters(model.config, tiny_recipe.lora_rank) == trainable


def test_every_fit_holds_what_it_says():
    plan = make_plan(find_config("Llama-3.1-8B"), "8B", 2048, 8)
    from llm_twin.training.plan import GPUS

    cards = {gpu.name: gpu.memory * GIB for gpu in GPUS}
    for fit in plan.fits:
        assert plan.weights[fit.precision] + fit.requests * plan.kv_cache < cards[fit.gpu] * fit.gpus
    assert {advice.topic for advice in plan.advice} == {
        "quantization", "cache", "batching", "parallelism", "speculative decoding", "engine",
    }  # fmt: skip


def test_bad_names_and_lengths_are_named(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')
    with pytest.raises(ModelError, match="names no model_type"):
        find_config(str(tmp_path))
    with pytest.raises(ModelError, match="takes 8,192 tokens, not 9,000"):
        make_plan(find_config("SmolLM2-135M"), "SmolLM2-135M", 9000, 1)
