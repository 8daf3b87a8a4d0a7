"""Runs in the quantization environment: `python worker.py REQUEST.json ANSWER.json`.

It imports torch, transformers and gptqmodel (whose direct interface writes version 1 of the format, which TGI and
vLLM read, and `quantize_config.json`), and nothing of this project, whose other dependencies cannot
be installed beside gptqmodel.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is on disk; an absent hub must not cost seconds
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

PREFIX = "[progress]"


def report(message: str) -> None:
    """Print one progress line, which the calling process passes on."""
    print(f"{PREFIX} {message}", flush=True)


def quantize(request: dict[str, Any]) -> dict[str, float]:
    """Quantize a model and write it with `quantize_config.json`; returns the sizes in bytes and their ratio."""
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig
    from transformers import AutoTokenizer, set_seed

    set_seed(request["seed"])
    source, target = Path(request["model"]), Path(request["target"])
    tokenizer = AutoTokenizer.from_pretrained(source)
    texts = calibration_texts(tokenizer, request["texts"], request["samples"], request["max_length"])
    report(f"GPTQ {request['bits']} bit, groups of {request['group_size']}: {len(texts)} texts to calibrate on")
    config = QuantizeConfig(bits=request["bits"], group_size=request["group_size"], desc_act=False, sym=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = GPTQModel.load(str(source), config, device=device)
    model.quantize(texts, batch_size=1)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        model.save(str(beside))
        clean_configs(beside)
        sizes = layer_sizes(source, beside)
        if target.is_dir():
            shutil.rmtree(target)
        beside.replace(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return sizes


def calibration_texts(tokenizer: Any, texts: list[str], samples: int, max_length: int) -> list[str]:
    """Join the author's texts into at most `samples` passages of about `max_length` tokens each."""
    passages: list[str] = []
    current: list[str] = []
    tokens = 0
    for text in texts:
        current.append(text)
        tokens += len(tokenizer(text)["input_ids"])
        if tokens >= max_length:
            passages.append("\n\n".join(current))
            current, tokens = [], 0
            if len(passages) == samples:
                return passages
    return [*passages, "\n\n".join(current)] if current else passages


def clean_configs(folder: Path) -> None:
    """Keep in the two configurations what a reader needs: no times, no paths of this machine."""
    (folder / "quant_log.csv").unlink(missing_ok=True)
    path = folder / "quantize_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    meta = content.get("meta", {})
    known = ("quantizer", "uri", "damp_percent", "static_groups", "true_sequential")
    content["meta"] = {key: meta[key] for key in known if key in meta}
    content.setdefault("damp_percent", meta.get("damp_percent", 0.05))  # AutoGPTQ's names, which TGI reads
    content.setdefault("static_groups", False)
    content.setdefault("true_sequential", True)
    content.setdefault("model_name_or_path", None)
    content.setdefault("model_file_base_name", "model")
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    path = folder / "config.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["quantization_config"] = content
    path.write_text(json.dumps(whole, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def layer_sizes(before: Path, after: Path) -> dict[str, float]:
    """Bytes of the quantized layers before (in 16 bit) and after, of whole models, and the ratios."""
    old, new = tensor_sizes(before), tensor_sizes(after)
    layers = {name.removesuffix(".qweight") for name in new if name.endswith(".qweight")}
    parts = (".qweight", ".qzeros", ".scales", ".g_idx")
    quantized = sum(size for name, (size, _) in new.items() if name.endswith(parts))
    halves = sum(2 * count for name, (_, count) in old.items() if name.removesuffix(".weight") in layers)
    return {
        "quantized_layers": len(layers),
        "layer_bytes_16bit": halves,
        "layer_bytes": quantized,
        "size_ratio": quantized / halves,
        "model_bytes": sum(size for size, _ in new.values()),
    }


def tensor_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Bytes and number of elements of every tensor in a folder's safetensors files."""
    from safetensors import safe_open

    sizes = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (no mapping)
                tensor = weights.get_tensor(name)
                sizes[name] = (tensor.numel() * tensor.element_size(), tensor.numel())
    return sizes


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Losses and answers of several models, one after the other."""
    return {name: measure_one(name, Path(path), request) for name, path in request["models"].items()}


def measure_one(name: str, folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Losses of the texts and answers to the prompts under one model, quantized or not."""
    model, tokenizer = load(folder)
    report(f"measuring {name}: {len(request['texts'])} texts, {len(request['prompts'])} prompts")
    return {
        "losses": [text_loss(model, tokenizer, text, request["max_length"]) for text in request["texts"]],
        "answers": [answer(model, tokenizer, prompt) for prompt in request["prompts"]],
    }


def load(folder: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a folder, in evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map=device)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def text_loss(model: Any, tokenizer: Any, text: str, max_length: int) -> tuple[float, int]:
    """Summed nats and number of predicted tokens, in windows that overlap by half."""
    import torch

    begin = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    ids = begin + tokenizer(text, add_special_tokens=False)["input_ids"]
    total, tokens, scored, start = 0.0, 0, 1, 0
    while scored < len(ids):
        batch = torch.tensor([ids[start : start + max_length]], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=batch, use_cache=False).logits[0, :-1].float()
            nats = torch.nn.functional.cross_entropy(logits, batch[0, 1:], reduction="none")
        fresh = nats[scored - start - 1 :]
        total, tokens, scored = total + float(fresh.double().sum()), tokens + len(fresh), scored + len(fresh)
        start = scored - max_length // 2
    return total, max(tokens, 1)


def answer(model: Any, tokenizer: Any, prompt: str) -> str:
    """The model's answer at temperature 0, at most 48 tokens."""
    import torch

    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=48, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def main() -> None:
    """Read the request, do it, write the answer."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result = {"quantize": quantize, "measure": measure}[request["task"]](request)
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
