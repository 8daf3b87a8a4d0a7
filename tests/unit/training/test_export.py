"""Merged exports carry both spellings, and 4.57 reads them; an adapter that does not fit is named."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from llm_twin.training.export import make_loadable_by_transformers_4

READER = """
import sys, json
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
turn = [{"role": "user", "content": "Tides."}]
ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt")
print(json.dumps([transformers.__version__, ids.tolist(), model(ids).logits[0, -1].tolist(), model.config.rope_theta]))
"""


def test_names_of_transformers_5_get_those_of_4_beside_them(tmp_path):
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0}
    (tmp_path / "config.json").write_text(json.dumps({"rope_parameters": rope, "dtype": "bfloat16"}))
    content = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"], "backend": "tokenizers"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(content))
    make_loadable_by_transformers_4(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_theta"] == 500000.0 and config["rope_parameters"] == rope
    assert config["rope_scaling"] == {"rope_type": "llama3", "factor": 8.0}
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    tokenizer = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert tokenizer == {"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<a>"]}


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_a_merged_model_says_the_same_in_transformers_4(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    """LLM_TWIN_TRANSFORMERS4_PATH names a folder with transformers 4.57 and its tokenizers and huggingface-hub."""
    import sys

    import torch

    from llm_twin.training.base import load_model, load_tokenizer
    from llm_twin.training.merge import merge_adapter
    from llm_twin.training.sft import train_sft

    older = os.environ.get("LLM_TWIN_TRANSFORMERS4_PATH")
    if not older:
        pytest.skip("LLM_TWIN_TRANSFORMERS4_PATH names no folder with transformers 4.57")
    train_sft(tiny_base, tiny_samples, tiny_recipe, tmp_path / "adapter", tmp_path / "work")
    merge_adapter(tiny_base, tmp_path / "adapter", tmp_path / "merged")
    command = [sys.executable, "-c", READER, str(tmp_path / "merged")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": older}, capture_output=True, text=True, check=True)
    version, ids, logits, theta = json.loads(done.stdout.splitlines()[-1])
    assert version.startswith("4.57") and theta == 10000.0
    tokenizer, model = load_tokenizer(tmp_path / "merged"), load_model(tmp_path / "merged")
    turn = [{"role": "user", "content": "Tides."}]
    ours = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids == [ours]
    with torch.no_grad():
        assert torch.allclose(model(torch.tensor(ids)).logits[0, -1], torch.tensor(logits), atol=1e-4)
