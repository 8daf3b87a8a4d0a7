"""A merged model in 8 bit (LLM.int8, Dettmers et al. 2022): transformers, TGI and vLLM load it through bitsandbytes."""

from __future__ import annotations

from pathlib import Path

from llm_twin.training.export import make_loadable_by_transformers_4, make_readable
from llm_twin.training.folders import whole_folder


def export_int8(model: Path, target: Path) -> dict[str, float]:
    """Write the transformers folder `model` to `target` with its linear layers in 8 bit; returns sizes in bytes."""
    from transformers import BitsAndBytesConfig

    from llm_twin.training.base import load_model, load_tokenizer

    loaded = load_model(model, quantization_config=BitsAndBytesConfig(load_in_8bit=True), device_map="auto")
    with whole_folder(target) as beside:
        loaded.save_pretrained(beside)
        load_tokenizer(model).save_pretrained(beside)
        make_loadable_by_transformers_4(beside)
        make_readable(beside)
    size = float(sum(file.stat().st_size for file in target.glob("*.safetensors")))
    before = float(sum(file.stat().st_size for file in model.glob("*.safetensors")))
    return {"bytes": size, "bytes_before": before}
