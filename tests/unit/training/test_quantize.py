"""GPTQ in its own environment: the format that TGI and vLLM expect, and clear words when it cannot be had."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llm_twin.errors import InputError, ModelError, ServiceError
from llm_twin.training import quantize


def test_a_missing_environment_is_one_clear_line(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    for python in (None, tmp_path / "nothing"):
        with pytest.raises(InputError, match="quantization environment is missing") as caught:
            quantize.quantize_model(tiny_base, tiny_samples, tiny_recipe, tmp_path / "out", python)
        assert "LLM_TWIN_QUANTIZE_PYTHON" in caught.value.remedy


def test_a_group_size_that_does_not_divide_is_named_with_one_that_does(tiny_base):
    with pytest.raises(ModelError, match="width 32 and 64") as caught:
        quantize.check_group_size(tiny_base, 64)
    assert "32 or 16" in caught.value.remedy
    quantize.check_group_size(tiny_base, 32)


def test_outputs_that_do_not_fill_a_word_are_named(tiny_base):
    with pytest.raises(ModelError, match="3 bit packs 32 outputs together, a layer has 16") as caught:
        quantize.check_widths(tiny_base, 3)
    assert "4 or 8" in caught.value.remedy
    for bits in (4, 8):
        quantize.check_widths(tiny_base, bits)


def test_a_worker_that_fails_says_its_last_words(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '[progress] begun'\necho 'ImportError: no gptqmodel here' >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(ServiceError, match=r"exit 3\): ImportError: no gptqmodel here"):
        quantize.run_worker(python, {"task": "quantize"})


@pytest.mark.deep
@pytest.mark.timeout(900)
def test_the_format_is_the_one_that_tgi_and_vllm_read(tiny_base, tiny_samples, tiny_recipe, tmp_path):
    from safetensors import safe_open

    named = os.environ.get("LLM_TWIN_QUANTIZE_PYTHON")
    if not named:
        pytest.skip("LLM_TWIN_QUANTIZE_PYTHON names no interpreter")
    out = tmp_path / "quantized"
    figures = quantize.quantize_model(tiny_base, tiny_samples, tiny_recipe, out, Path(named))
    assert figures["quantized_layers"] == 14
    config = json.loads((out / "quantize_config.json").read_text())
    assert {key: config[key] for key in ("bits", "group_size", "desc_act", "sym", "checkpoint_format")} == {
        "bits": 4, "group_size": 32, "desc_act": False, "sym": True, "checkpoint_format": "gptq",
    }  # fmt: skip
    whole = (out / "config.json").read_text()
    assert json.loads(whole)["quantization_config"]["quant_method"] == "gptq"
    assert "kettles" not in whole and "/tmp" not in whole  # neither the author's text nor this machine's paths
    with safe_open(out / "model.safetensors", framework="pt") as weights:
        layer = "model.layers.0.mlp.down_proj"
        shapes = {part: weights.get_slice(f"{layer}.{part}").get_shape() for part in ("qweight", "qzeros", "scales")}
        assert shapes == {"qweight": [64 // 8, 32], "qzeros": [2, 32 // 8], "scales": [2, 32]}
        assert weights.get_tensor(f"{layer}.g_idx").tolist() == [row // 32 for row in range(64)]
    measured = quantize.measure_models(Path(named), {"base": tiny_base, "gptq": out}, ["The kettle."], 64, ["Write."])
    assert measured["base"]["losses"][0][1] == measured["gptq"]["losses"][0][1]
    assert measured["gptq"]["losses"][0][0] == pytest.approx(measured["base"]["losses"][0][0], rel=0.1)
