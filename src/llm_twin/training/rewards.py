"""DPO's implicit rewards on pairs, and how often the author's text gets the higher one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_twin.documents import PreferenceSample


@dataclass(frozen=True)
class Accuracy:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


def reward_margins(
    model: Any,
    reference: Any,
    tokenizer: Any,
    samples: Sequence[PreferenceSample],
    beta: float,
    max_length: int,
    batch_size: int = 8,
) -> list[float]:
    """Reward of the chosen minus reward of the rejected text, for each pair (Rafailov et al. 2023, equation 6).

    `reference` None: the adapter `ref` of `model` is the reference where it has one, else the bare base.
    """
    rows = []
    for sample in samples:
        for text in (sample.chosen, sample.rejected):
            rows.append(_encode(tokenizer, sample.instruction, text, max_length))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    rewards = [0.0] * len(rows)
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        batch = [rows[i] for i in numbers]
        policy = _log_probabilities(model, tokenizer, batch)
        if reference is not None:
            frozen = _log_probabilities(reference, tokenizer, batch)
        else:
            with reference_adapter(model):
                frozen = _log_probabilities(model, tokenizer, batch)
        for number, ours, theirs in zip(numbers, policy, frozen, strict=True):
            rewards[number] = beta * (ours - theirs)
    return [rewards[i] - rewards[i + 1] for i in range(0, len(rewards), 2)]


def answer_log_probabilities(
    model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int, batch_size: int = 8
) -> list[tuple[float, int]]:
    """For each (instruction, answer): the answer's summed log-probability, and its tokens."""
    rows = [_encode(tokenizer, instruction, answer, max_length) for instruction, answer in pairs]
    found = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        totals = _log_probabilities(model, tokenizer, batch)
        found += [(total, len(ids) - begin) for total, (ids, begin) in zip(totals, batch, strict=True)]
    return found


@contextlib.contextmanager
def reference_adapter(model: Any) -> Any:
    """Run `model` as the reference: with its adapter `ref`, or without adapters."""
    if "ref" in model.peft_config:
        model.set_adapter("ref")
        try:
            yield
        finally:
            model.set_adapter("default")
    else:
        with model.disable_adapter():
            yield


def _encode(tokenizer: Any, instruction: str, text: str, max_length: int) -> tuple[list[int], int]:
    """Token ids of the conversation, cut to `max_length`, and where the answer begins."""
    prompt = [{"role": "user", "content": instruction}]
    turns = [*prompt, {"role": "assistant", "content": text}]
    start = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    return whole[:max_length], min(len(start), max_length)


def _log_probabilities(model: Any, tokenizer: Any, rows: Sequence[tuple[list[int], int]]) -> list[float]:
    """Summed log-probability of each row's answer."""
    import torch

    width = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, (row, _) in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        picked = torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
    return [float(picked[i, start - 1 : len(row) - 1].double().sum()) for i, (row, start) in enumerate(rows)]


def reward_accuracy(margins: Sequence[float], documents: Sequence[str], seed: int = 0) -> Accuracy:
    """Share of positive margins, with a bootstrap interval that resamples documents, not pairs."""
    import numpy as np

    groups: dict[str, list[float]] = {}
    for margin, document in zip(margins, documents, strict=True):
        groups.setdefault(document, []).append(float(margin > 0))
    wins = np.array([sum(group) for group in groups.values()])
    sizes = np.array([len(group) for group in groups.values()])
    picks = np.random.default_rng(seed).integers(0, len(sizes), size=(5000, len(sizes)))
    low, high = np.percentile(wins[picks].sum(axis=1) / sizes[picks].sum(axis=1), [2.5, 97.5])
    return Accuracy(float(wins.sum() / sizes.sum()), float(low), float(high))
