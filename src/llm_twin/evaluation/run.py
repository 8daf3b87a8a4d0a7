"""The whole evaluation of one twin: every measure over the same prompts and seeds, into one Scores."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_twin.documents import Chunk, InstructionSample
from llm_twin.evaluation.candidates import Candidates, load_candidates
from llm_twin.evaluation.known_items import make_known_items, measure_retrieval
from llm_twin.evaluation.likelihood import generate_texts, score_completions
from llm_twin.evaluation.perplexity import sample_messages, summarise_losses
from llm_twin.evaluation.quantized import ask_quantized
from llm_twin.evaluation.ragas_metrics import measure_contexts, measure_texts
from llm_twin.evaluation.scores import Output, Scores
from llm_twin.progress import report
from llm_twin.recipes import EvaluationRecipe
from llm_twin.training.samples import instruction_samples

Find = Callable[[str], Sequence[str]]  # query → chunk ids, best first


@dataclass(frozen=True)
class Models:
    """Folders of the candidates; `quantize_python` is the interpreter that can load the quantized one."""

    base: Path
    adapters: dict[str, Path]
    quantized: Path | None = None
    quantize_python: Path | None = None


def evaluate_models(
    author: str,
    index: str,
    models: Models,
    samples: Path,
    chunks: Sequence[Chunk],
    find: Find,
    recipe: EvaluationRecipe,
) -> Scores:
    """Measure all candidates on held-out samples, and retrieval on known-item queries."""
    heldout = held_out_samples(samples)
    scores = Scores(author=author, index=index, candidates=["base", *models.adapters], samples=len(heldout))
    evaluate_retrieval(scores, chunks, find, recipe)
    if not heldout:
        scores.notes.append("no held-out samples: perplexity and texts need a test or validation split")
        return scores
    report(f"evaluation: loading {', '.join(scores.candidates)}")
    candidates = load_candidates(models.base, models.adapters)
    prompts = choose_prompts(heldout, recipe.max_generations, recipe.seed)
    losses, texts = measure_candidates(candidates, heldout, prompts, recipe)
    if models.quantized is not None and models.quantize_python is not None:
        report("evaluation: the quantized model, in its own environment")
        request = make_request(heldout, prompts, recipe)
        scores.candidates.append("quantized")
        losses["quantized"], texts["quantized"] = ask_quantized(models.quantize_python, models.quantized, request)
    else:
        scores.notes.append("the quantized model was not measured: no quantization environment is set")
    scores.perplexity = summarise_losses(heldout, losses)
    add_texts(scores, prompts, texts)
    return scores


def held_out_samples(folder: Path) -> list[InstructionSample]:
    """The test split; the validation split where there is no test split."""
    return instruction_samples(folder, "test") or instruction_samples(folder, "validation")


def evaluate_retrieval(scores: Scores, chunks: Sequence[Chunk], find: Find, recipe: EvaluationRecipe) -> None:
    """Add retrieval figures to `scores`."""
    items = make_known_items(chunks, recipe.max_queries, recipe.seed)
    if not items:
        scores.notes.append("no passage is long enough to make a known-item query of")
        return
    report(f"evaluation: {len(items)} known-item queries")
    found = {item.query: list(find(item.query)) for item in items}
    scores.retrieval = measure_retrieval(items, found.__getitem__, recipe.recall_k)
    cut = sorted(recipe.recall_k)[len(recipe.recall_k) // 2]
    scores.contexts = measure_contexts([found[item.query][:cut] for item in items], [item.relevant for item in items])


def measure_candidates(
    candidates: Candidates,
    heldout: Sequence[InstructionSample],
    prompts: Sequence[InstructionSample],
    recipe: EvaluationRecipe,
) -> tuple[dict[str, list[tuple[float, int]]], dict[str, list[str]]]:
    """By candidate: losses (nats, tokens) on the held-out samples, and what it writes to the prompts."""
    pairs = [(sample_messages(sample), sample.output) for sample in heldout]
    conversations = [sample_messages(sample) for sample in prompts]
    losses, texts = {}, {}
    for name in candidates.names:
        report(f"evaluation: {name}: perplexity on {len(pairs)} samples, texts to {len(prompts)} prompts")
        with candidates.active(name) as model:
            losses[name] = score_completions(model, candidates.tokenizer, pairs)
            texts[name] = generate_texts(
                model, candidates.tokenizer, conversations, recipe.max_new_tokens, seed=recipe.seed
            )
    return losses, texts


def make_request(
    heldout: Sequence[InstructionSample], prompts: Sequence[InstructionSample], recipe: EvaluationRecipe
) -> dict[str, Any]:
    """The same questions to a model of another environment."""
    return {
        "pairs": [[sample_messages(sample), sample.output] for sample in heldout],
        "conversations": [sample_messages(sample) for sample in prompts],
        "max_new_tokens": recipe.max_new_tokens,
        "seed": recipe.seed,
    }


def add_texts(scores: Scores, prompts: Sequence[InstructionSample], texts: dict[str, list[str]]) -> None:
    """Put what each candidate wrote into `scores`, with its likeness to what the author wrote."""
    if not prompts:
        return
    for name, written in texts.items():
        scores.texts[name] = measure_texts(written, [sample.output for sample in prompts])
    scores.outputs = [
        Output(
            sample_id=sample.sample_id,
            document_id=sample.document_id,
            prompt=sample.instruction,
            reference=sample.output,
            texts={name: texts[name][position] for name in texts},
        )
        for position, sample in enumerate(prompts)
    ]


def choose_prompts(heldout: Sequence[InstructionSample], count: int, seed: int) -> list[InstructionSample]:
    """At most `count` samples, taken from the documents in turn, so that no document dominates."""
    by_document: dict[str, list[InstructionSample]] = {}
    for sample in sorted(heldout, key=lambda sample: sample.sample_id):
        by_document.setdefault(sample.document_id, []).append(sample)
    choice = random.Random(seed)
    for group in by_document.values():
        choice.shuffle(group)
    chosen: list[InstructionSample] = []
    while len(chosen) < count and any(by_document.values()):
        for group in by_document.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen
