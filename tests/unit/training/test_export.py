"""Merged exports carry both spellings, and 4.57 reads them; an adapter that does not fit is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from llm_twin.training.export import make_loadable_by_transformers_4
from tests.unit.training.families import FAMILIES, make_family

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


@pytest.fixture(scope="module")
def transformers_4() -> str:
    """LLM_TWIN_TRANSFORMERS4_PATH names a folder with transformers 4.57 and its tokenizers and huggingface-hub."""
    if not (older := os.environ.get("LLM_TWIN_TRANSFORMERS4_PATH")):
        pytest.skip("LLM_TWIN_TRANSFORMERS4_PATH names no folder with transformers 4.57")
    return older


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_model_says_the_same_in_transformers_4(family, transformers_4, tiny_base, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model

    from llm_twin.training.base import load_model, load_tokenizer
    from llm_twin.training.merge import merge_adapter

    base = make_family(family, tiny_base, tmp_path / family)
    torch.manual_seed(4)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    adapted = get_peft_model(load_model(base), config)
    adapted.save_pretrained(tmp_path / "adapter")
    load_tokenizer(base).save_pretrained(tmp_path / "adapter")
    merge_adapter(base, tmp_path / "adapter", tmp_path / "merged")
    command = [sys.executable, "-c", READER, str(tmp_path / "merged")]
    kept = {**os.environ, "PYTHONPATH": transformers_4}
    done = subprocess.run(command, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    version, ids, logits, theta = json.loads(done.stdout.splitlines()[-1])
    assert version.startswith("4.57") and theta == load_model(base).config.rope_parameters["rope_theta"]
    tokenizer = load_tokenizer(tmp_path / "merged")
    turn = [{"role": "user", "content": "Tides."}]
    assert ids == [tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]]
    with torch.no_grad():
        ours = adapted.eval()(torch.tensor(ids)).logits[0, -1]
    assert torch.allclose(ours, torch.tensor(logits), atol=1e-4)
