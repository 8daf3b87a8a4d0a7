"""The GPTQ model against the merged one: perplexity, size, and how many answers stay the same at temperature 0."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.trained import find_artifact

DESCRIPTION = "GPTQ against the merged model: perplexity, size, same answers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --merged, --bits, --group-size, --prompts."""
    parser.add_argument("--data", type=Path, help="samples folder (default: the newest of a run)")
    parser.add_argument("--merged", type=Path, help="merged model folder (default: the newest of a run)")
    parser.add_argument("--bits", type=int, default=4, choices=(3, 4, 8))
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=20)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Quantize anew, then measure both models in the quantization environment on the held-out documents."""
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.settings import QuantizeSettings
    from llm_twin.training.perplexity import DocumentLoss, compare_losses
    from llm_twin.training.quantize import measure_models, quantize_model, spread
    from llm_twin.training.samples import heldout_documents, instruction_samples

    python = QuantizeSettings().python
    data = find_artifact("samples", args.data, "heldout_documents.jsonl")
    merged = find_artifact("merged", args.merged, "config.json")
    recipe = TrainingRecipe(quantize_bits=args.bits, quantize_group_size=args.group_size)
    texts = [document.text for document in heldout_documents(data)]
    prompts = spread([sample.instruction for sample in instruction_samples(data, "test")], args.prompts)
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "quantized"
        begun = time.perf_counter()
        sizes = quantize_model(merged, data, recipe, quantized, python)
        seconds = time.perf_counter() - begun
        models = {"merged": merged, "quantized": quantized}
        measured = measure_models(python, models, texts, recipe.max_length, prompts)
    losses = {name: [DocumentLoss(*pair) for pair in found["losses"]] for name, found in measured.items()}
    comparison = compare_losses(losses["merged"], losses["quantized"])
    answers = list(zip(measured["merged"]["answers"], measured["quantized"]["answers"], strict=True))
    same = sum(ours == theirs for ours, theirs in answers)
    shared = statistics.fmean(_shared_start(ours, theirs) for ours, theirs in answers)
    print(f"{'':<34}{'merged':>12}{'GPTQ':>12}")
    print(f"{'held-out perplexity':<34}{comparison.before:>12.2f}{comparison.after:>12.2f}")
    print(f"{'quantized layers, MB':<34}{sizes['layer_bytes_16bit'] / 1e6:>12.2f}{sizes['layer_bytes'] / 1e6:>12.2f}")
    print(f"{'same answers at temperature 0':<34}{'':>12}{f'{same}/{len(answers)}':>12}")
    return {
        "perplexity_ratio": round(comparison.ratio, 4),
        "size_ratio": round(sizes["size_ratio"], 4),
        "same_answers": round(same / len(answers), 3),
        "same_start": round(shared, 3),
        "documents": comparison.documents,
        "bits": args.bits,
        "group_size": args.group_size,
        "quantize_seconds": round(seconds, 1),
    }


def _shared_start(first: str, second: str) -> float:
    """Share of the words before two answers part."""
    ours, theirs = first.split(), second.split()
    length = max(len(ours), len(theirs), 1)
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return same / length
