"""Before a run starts: does the dataset fit the model, the model the machine, the template the tokenizer?

All findings are gathered before anything is refused, so that a person mends them in one go.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_twin.documents import InstructionSample
from llm_twin.errors import InputError
from llm_twin.progress import report
from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.samples import training_instructions

FEW_SAMPLES = 20
MAX_CUT_SHARE = 0.5  # of the samples
MEMORY_SHARE = 0.92  # of what is free: the estimate is no promise


@dataclass(frozen=True)
class Finding:
    """One check's outcome; `remedy` where there is something to do."""

    level: Literal["fine", "warning", "refused"]
    text: str
    remedy: str = ""


def check_sft(base: Path, samples: Path, recipe: TrainingRecipe, state: Path, force: bool = False) -> list[Finding]:
    """Check an SFT run before it starts, print the findings, and return them.

    Raises InputError with every refusal and its remedy, unless `force` (or the recipe's own `force`) says to go on;
    a missing model or missing samples cannot be forced.
    """
    from llm_twin.training.base import count_parameters, load_config, load_tokenizer
    from llm_twin.training.hardware import settle_hardware

    train = training_instructions(samples)
    config, tokenizer = load_config(base), load_tokenizer(base)
    hardware = settle_hardware(recipe, count_parameters(base))
    findings = [
        *check_template(config, tokenizer),
        *check_lengths(config, tokenizer, train, recipe),
        *check_amount(tokenizer, train, config, recipe),
        *check_memory(config, recipe, hardware),
        *check_disk(config, recipe, state),
    ]
    for finding in findings:
        report(
            f"preflight: {finding.text}" if finding.level == "fine" else f"preflight, {finding.level}: {finding.text}"
        )
    refused = [finding for finding in findings if finding.level == "refused"]
    if refused and not (force or recipe.force):
        raise InputError(
            "the preflight refuses: " + "; ".join(finding.text for finding in refused),
            "; ".join(finding.remedy for finding in refused) + "; or go on with --force (training.force: true)",
        )
    return findings


def check_template(config: Any, tokenizer: Any) -> list[Finding]:
    """Does the chat template render a turn that ends, with tokens that the model has?"""
    import jinja2

    turns = [{"role": "user", "content": "One."}, {"role": "assistant", "content": "Two."}]
    try:
        ids = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
        text = tokenizer.decode(ids)
    except (jinja2.TemplateError, ValueError, TypeError) as error:
        return [Finding("refused", f"the chat template cannot be rendered: {error}", "set training.chat_template")]
    if "Two." not in text:
        return [Finding("refused", "the chat template drops the assistant's words", "set training.chat_template")]
    if max(ids) >= config.vocab_size:
        return [
            Finding(
                "refused",
                f"the tokenizer makes token {max(ids)}, the model knows {config.vocab_size}",
                "use the tokenizer that belongs to the model",
            )
        ]
    after = tokenizer(text[text.rindex("Two.") + 4 :], add_special_tokens=False)["input_ids"]
    if not any(token in tokenizer.all_special_ids for token in after):
        return [
            Finding("warning", "the chat template does not end the assistant's turn: the model may not learn to stop")
        ]
    return [Finding("fine", "template and tokenizer agree")]


def check_lengths(config: Any, tokenizer: Any, train: list[InstructionSample], recipe: TrainingRecipe) -> list[Finding]:
    """How many samples max_length cuts, and whether the model takes max_length at all."""
    context = getattr(config, "max_position_embeddings", None) or recipe.max_length
    lengths = sample_lengths(tokenizer, train)
    cut = sum(length > recipe.max_length for length in lengths)
    findings = []
    if recipe.max_length > context:
        findings.append(
            Finding(
                "refused",
                f"max_length {recipe.max_length} is more than the model's context of {context} tokens",
                f"set training.max_length to {context} or less",
            )
        )
    text = f"longest sample {max(lengths)} tokens; max_length {recipe.max_length} cuts {cut} of {len(lengths)}"
    if cut > MAX_CUT_SHARE * len(lengths):
        better = min(context, sorted(lengths)[int(0.95 * (len(lengths) - 1))])
        remedy = f"set training.max_length to {better}, or lower datasets.max_output_words"
        findings.append(Finding("refused", text, remedy))
    else:
        findings.append(Finding("warning" if cut else "fine", text))
    return findings


def sample_lengths(tokenizer: Any, samples: list[InstructionSample]) -> list[int]:
    """Tokens of each sample as a rendered conversation."""
    turns = [[{"role": "user", "content": s.instruction}, {"role": "assistant", "content": s.output}] for s in samples]
    return [len(tokenizer.apply_chat_template(pair, return_dict=True)["input_ids"]) for pair in turns]


def check_amount(tokenizer: Any, train: list[InstructionSample], config: Any, recipe: TrainingRecipe) -> list[Finding]:
    """The dataset's size against what is to be trained; few samples are a warning, not a refusal."""
    from llm_twin.training.memory import count_parameters_of, lora_parameters

    counted = count_parameters_of(config).total
    trainable = counted if recipe.method == "full" else lora_parameters(config, recipe.lora_rank)
    tokens = sum(len(tokenizer(s.output, add_special_tokens=False)["input_ids"]) for s in train)
    text = f"{len(train)} samples, {tokens:,} tokens for {trainable:,} trainable parameters"
    if len(train) < FEW_SAMPLES:
        return [Finding("warning", f"{text}: too few to learn a style from", "collect more writing")]
    if tokens * recipe.sft_epochs < trainable / 1000:
        return [Finding("warning", f"{text}: a lower lora_rank would do", "lower training.lora_rank")]
    return [Finding("fine", text)]


def check_memory(config: Any, recipe: TrainingRecipe, hardware: Any) -> list[Finding]:
    """The estimate of peak memory against what the device has free."""
    from llm_twin.training.memory import GIB, training_memory

    estimate = training_memory(config, recipe, hardware.device, hardware.precision, hardware.gradient_checkpointing)
    free = free_memory(hardware.device)
    text = f"about {estimate.total / GIB:.1f} GiB of memory needed, {free / GIB:.1f} GiB free"
    if estimate.total <= free * MEMORY_SHARE:
        return [Finding("fine", text)]
    largest = max(("weights", "optimizer", "activations", "logits"), key=lambda part: getattr(estimate, part))
    remedy = {
        "weights": "set training.method to qlora or choose a smaller base model",
        "optimizer": "set training.method to lora or qlora",
        "activations": "lower training.sft_batch_size or max_length, or set gradient_checkpointing: on",
        "logits": "lower training.sft_batch_size or max_length (and raise gradient_accumulation)",
    }[largest]
    return [Finding("refused", f"{text}; {largest} take the most", remedy)]


def free_memory(device: str) -> float:
    """Free bytes of the GPU, or of the machine (within a container's limit)."""
    import psutil
    import torch

    if device == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    free = float(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, float(text) - float(used.read_text()))
    return free


def check_disk(config: Any, recipe: TrainingRecipe, state: Path) -> list[Finding]:
    """Room for two checkpoints (weights, and two moments of AdamW) and the result."""
    from llm_twin.training.memory import GIB, count_parameters_of, lora_parameters

    trainable = (
        count_parameters_of(config).total if recipe.method == "full" else lora_parameters(config, recipe.lora_rank)
    )
    needed = trainable * 4.0 * (2 * 3 + 1)
    place = next(path for path in (state, *state.parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"about {needed / GIB:.2f} GiB of disk needed under {place}, {free / GIB:.1f} GiB free"
    if needed > free:
        return [Finding("refused", text, "free some space, or set LLM_TWIN_HOME to another disk")]
    return [Finding("fine", text)]
