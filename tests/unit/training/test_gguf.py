"""GGUF files: what is read back is what was written, for each family; llama.cpp says the same where it is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llm_twin.errors import ModelError
from llm_twin.training.gguf_export import export_gguf
from llm_twin.training.gguf_vocabulary import name_pretokenizer
from tests.unit.training.families import FAMILIES, make_family

LLAMA_CPP = """
import json, sys
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=128, logits_all=True, verbose=False, n_threads=1)
ids = model.tokenize(sys.argv[2].encode(), add_bos=True, special=True)
model.eval(ids)
print(json.dumps([ids, [list(map(float, row)) for row in model.scores[: len(ids)]]]))
"""
TEXT = "My kettles want a little rain, 1234 of it."


def field(reader, name):
    return reader.get_field(name).contents()


@pytest.mark.parametrize("family", FAMILIES)
def test_shape_vocabulary_and_weights_are_read_back(family, tiny_base, tmp_path):
    import gguf

    model = make_family(family, tiny_base, tmp_path / "model")
    figures = export_gguf(model, tmp_path / "twin.gguf", "f16")
    assert figures["largest_error"] < 1e-3
    reader = gguf.GGUFReader(tmp_path / "twin.gguf")
    kind = {"mistral": "llama"}.get(family, family)
    assert field(reader, "general.architecture") == kind
    assert field(reader, f"{kind}.attention.head_count_kv") == 2 and field(reader, f"{kind}.block_count") == 4
    vocabulary = json.loads((model / "tokenizer.json").read_text())
    tokens = field(reader, "tokenizer.ggml.tokens")
    assert all(tokens[number] == token for token, number in vocabulary["model"]["vocab"].items())
    assert len(field(reader, "tokenizer.ggml.merges")) == len(vocabulary["model"]["merges"])
    assert field(reader, "tokenizer.ggml.add_bos_token") is True
    template = field(reader, "tokenizer.chat_template")
    assert "generation -%}" not in template and "if true" in template
    names = {tensor.name for tensor in reader.tensors}
    assert ("output.weight" in names) == (family not in ("qwen2", "smollm3"))
    assert ("rope_freqs.weight" in names) == (family == "llama")


def test_fewer_bits_make_a_smaller_file(tiny_base, tmp_path):
    sizes = {}
    for precision, error in (("f16", 1e-3), ("q8_0", 0.01), ("q4_0", 0.15)):
        figures = export_gguf(tiny_base, tmp_path / f"{precision}.gguf", precision)
        assert figures["largest_error"] < error
        sizes[precision] = figures["bytes"]
    assert sizes["q4_0"] < sizes["q8_0"] < sizes["f16"]
    assert not list(tmp_path.glob(".*.part"))


def test_what_readers_do_not_know_is_refused_by_name(tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                 "original_max_position_embeddings": 64}  # fmt: skip
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="yarn"):
        export_gguf(tmp_path / "model", tmp_path / "twin.gguf")
    assert not list(tmp_path.glob("*.gguf")) and not list(tmp_path.glob(".*"))
    with pytest.raises(ModelError, match="cuts text by Whitespace"):
        name_pretokenizer({"pre_tokenizer": {"type": "Whitespace"}})


def test_pretokenizers_are_told_apart():
    level = {"type": "ByteLevel"}
    for regex, name in ((r"\p{N}{1,3}| ", "llama-bpe"), (r"\p{N}| ", "qwen2")):
        split = {"type": "Split", "pattern": {"Regex": rf"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{regex}"}}
        assert name_pretokenizer({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}}) == name
    digits = {"type": "Digits", "individual_digits": True}
    assert name_pretokenizer({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, level]}}) == "smollm"
    assert name_pretokenizer({"pre_tokenizer": level}) == "gpt-2"


@pytest.mark.deep
@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpp_says_what_transformers_says(family, tiny_base, tmp_path):
    """LLM_TWIN_LLAMA_CPP_PYTHON names an interpreter with llama-cpp-python."""
    import torch

    from llm_twin.training.base import load_model, load_tokenizer

    python = os.environ.get("LLM_TWIN_LLAMA_CPP_PYTHON")
    if not python:
        pytest.skip("LLM_TWIN_LLAMA_CPP_PYTHON names no interpreter with llama-cpp-python")
    model = make_family(family, tiny_base, tmp_path / "model")
    export_gguf(model, tmp_path / "twin.gguf", "f16")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, "-c", LLAMA_CPP, str(Path(tmp_path / "twin.gguf")), TEXT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    ids, theirs = json.loads(done.stdout.splitlines()[-1])
    assert ids == load_tokenizer(model)(TEXT)["input_ids"]
    with torch.no_grad():
        ours = load_model(model)(torch.tensor([ids])).logits[0]
    assert torch.allclose(torch.tensor(theirs), ours, atol=0.02)
