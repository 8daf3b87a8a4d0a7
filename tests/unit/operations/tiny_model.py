"""A Llama of a few thousand parameters with a tokenizer and a chat template, as a folder."""

from __future__ import annotations

from pathlib import Path


def write_tiny_model(folder: Path) -> None:
    """Write the model; untrained, it is only to be loaded."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from llm_twin.training.seedling import train_tokenizer

    tokenizer = train_tokenizer(["the tide comes in and the tide goes out"] * 50, 300, 64)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **size))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
