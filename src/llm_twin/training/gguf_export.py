"""A merged model as one GGUF file, for llama.cpp and what is built on it: CPUs and edge devices.

The file's layout is the GGUF specification's (github.com/ggml-org/ggml, docs/gguf.md); the `gguf` package writes it.
llama.cpp turns pairs of neighbouring dimensions in rotary embeddings for the architectures in INTERLEAVED, where
transformers turns dimension i with i + half: for those the rows of queries and keys change places.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm_twin.errors import ModelError
from llm_twin.progress import report
from llm_twin.training.gguf_vocabulary import add_vocabulary

if TYPE_CHECKING:
    import numpy as np

Precision = Literal["f16", "q8_0", "q4_0"]
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "smollm3": "smollm3"}
INTERLEAVED = {"llama", "smollm3"}
BLOCK = 32  # weights that share a scale in q8_0 and q4_0


def export_gguf(model: Path, target: Path, precision: Precision = "q8_0") -> dict[str, float]:
    """Write the transformers folder `model` to the file `target`, read it back, and return sizes in bytes.

    Matrices get `precision` (embeddings and output at least 8 bit), vectors stay in 32 bit. Raises ModelError for
    an architecture, a tokenizer or a rope scaling that the format's readers do not know.
    """
    import gguf

    from llm_twin.training.base import load_config, load_model

    config = load_config(model)
    if config.model_type not in ARCHITECTURES:
        raise ModelError(
            f"no GGUF for a model of type {config.model_type!r}", f"it can be made of {', '.join(ARCHITECTURES)}"
        )
    architecture = ARCHITECTURES[config.model_type]
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(beside, architecture)
    try:
        _add_shape(writer, config, model.resolve().name, precision)
        add_vocabulary(writer, model, config)
        weights = {name: tensor.numpy() for name, tensor in load_model(model).state_dict().items()}
        if getattr(config, "tie_word_embeddings", False):
            weights.pop("lm_head.weight", None)  # readers take the embeddings where there is no output
        _add_rope_factors(writer, config)
        for name, array in weights.items():
            _add_tensor(writer, architecture, config, name, array, precision)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        worst = verify_gguf(beside, weights, architecture, config)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    report(f"{target.name}: {target.stat().st_size / 1e6:,.1f} MB, {precision}, read back: error {worst:.4f} at most")
    halves = sum(2 * array.size for array in weights.values())
    size = target.stat().st_size
    return {"bytes": size, "ratio_to_16bit": size / halves, "largest_error": worst, "tensors": len(weights)}


def _add_shape(writer: Any, config: Any, name: str, precision: Precision) -> None:
    import gguf

    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = getattr(config, "rope_parameters", None) or {}
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    kind = {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
    writer.add_file_type(kind.get(precision, gguf.LlamaFileType.MOSTLY_Q4_0))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def _add_rope_factors(writer: Any, config: Any) -> None:
    """Llama 3's stretched frequencies, as the factors by which the plain ones are divided."""
    import numpy as np
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if kind in {"default", "linear"}:
        return
    if kind != "llama3":
        raise ModelError(f"no GGUF for rope scaling {kind!r}", "serve the merged model instead")
    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](config, device="cpu")
    size = 2 * len(stretched)
    plain = 1.0 / float(rope["rope_theta"]) ** (np.arange(0, size, 2, dtype=np.float64) / size)
    writer.add_tensor("rope_freqs.weight", (plain / stretched.double().numpy()).astype(np.float32))


def _add_tensor(
    writer: Any, architecture: str, config: Any, name: str, array: np.ndarray, precision: Precision
) -> None:
    import gguf
    import numpy as np
    from gguf import GGMLQuantizationType as Kind

    place = _tensor_name(architecture, config, name)
    array = _reorder(architecture, config, name, array.astype(np.float32))
    if array.ndim == 1:
        writer.add_tensor(place, array)
        return
    wanted = {"f16": Kind.F16, "q8_0": Kind.Q8_0, "q4_0": Kind.Q4_0}[precision]
    if wanted is Kind.Q4_0 and place.startswith(("token_embd", "output")):
        wanted = Kind.Q8_0
    if wanted is not Kind.F16 and array.shape[-1] % BLOCK:
        wanted = Kind.F16
    writer.add_tensor(place, gguf.quants.quantize(array, wanted), raw_dtype=wanted)


def _tensor_name(architecture: str, config: Any, name: str) -> str:
    import gguf

    kind = next(kind for kind, known in gguf.MODEL_ARCH_NAMES.items() if known == architecture)
    names = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    place = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if place is None:
        raise ModelError(f"no GGUF name for the weight {name}", "serve the merged model instead")
    return str(place)


def _reorder(architecture: str, config: Any, name: str, array: np.ndarray) -> np.ndarray:
    """Rows of queries and keys from transformers' order (first halves, second halves) to neighbouring pairs."""
    if architecture not in INTERLEAVED or not any(part in name for part in ("q_proj", "k_proj")):
        return array
    heads = config.num_attention_heads
    if "k_proj" in name:
        heads = getattr(config, "num_key_value_heads", None) or heads
    split = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return split.swapaxes(1, 2).reshape(array.shape)


def verify_gguf(file: Path, weights: dict[str, np.ndarray], architecture: str, config: Any) -> float:
    """Read the file back and compare it with `weights`: the largest error of a matrix, over its largest weight.

    Raises ModelError when a tensor is missing or has another shape.
    """
    import gguf
    import numpy as np

    found = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    worst = 0.0
    for name, array in weights.items():
        place = _tensor_name(architecture, config, name)
        if place not in found:
            raise ModelError(f"{file.name} lacks {place} after writing", "is the disk full?")
        back = gguf.quants.dequantize(found[place].data, found[place].tensor_type)
        wanted = _reorder(architecture, config, name, array.astype(np.float32))
        if back.shape != wanted.shape:
            raise ModelError(f"{place} has shape {back.shape} in {file.name}, not {wanted.shape}", "export again")
        worst = max(worst, float(np.abs(back - wanted).max() / max(np.abs(wanted).max(), 1e-12)))
    return worst
