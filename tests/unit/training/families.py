"""Tiny models with the architecture of each family, random weights, and the tiny seedling's tokenizer."""

from __future__ import annotations

import shutil
from pathlib import Path

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "smollm3")


def make_family(family: str, tokenizer: Path, folder: Path) -> Path:
    """A model of `family` of some thirty thousand parameters, with the tokenizer of another folder."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, set_seed

    words = AutoTokenizer.from_pretrained(tokenizer)
    rope = {"rope_type": "default", "rope_theta": 100000.0}
    if family == "llama":  # as Llama 3.1 stretches its positions
        rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 64}  # fmt: skip
    config = AutoConfig.for_model(
        family, vocab_size=len(words) + 16, hidden_size=32, intermediate_size=64, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=256,
        rope_parameters=rope, tie_word_embeddings=family in ("qwen2", "smollm3"), sliding_window=None,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    set_seed(3)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for file in tokenizer.iterdir():
        if file.suffix in {".json", ".jinja"} and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
    return folder
