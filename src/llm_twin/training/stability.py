"""Did the run go well? A verdict from the logged curve, with advice, in words that need no reading of plots."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["stable", "watch", "unstable"]
SPIKE = 1.5  # times the median of the losses around it
WINDOW = 9


@dataclass(frozen=True)
class Verdict:
    """`stable`, `watch` (it works, but look) or `unstable`, each finding with what to do about it."""

    level: Level
    findings: tuple[str, ...]


def judge_stability(history: Sequence[dict[str, float]], max_gradient_norm: float = 1.0) -> Verdict:
    """Judge transformers' log history (entries with loss, grad_norm, eval_loss, rewards/…)."""
    steps = [entry for entry in history if "loss" in entry]
    losses = [entry["loss"] for entry in steps]
    if len(losses) < 4:
        return Verdict("watch", ("Too few steps to judge: train on more samples, or for more epochs.",))
    bad: list[str] = []
    odd: list[str] = []
    spikes = _spikes(losses)
    if spikes > max(1, len(losses) // 20):
        bad.append(f"The loss jumped {spikes} times: halve the learning rate or raise warmup_share.")
    tenth = max(2, len(losses) // 10)
    first, last = statistics.fmean(losses[:tenth]), statistics.fmean(losses[-tenth:])
    if last > first * 1.02:
        bad.append(f"The loss rose from {first:.3f} to {last:.3f}: lower the learning rate.")
    elif last > first * 0.995:
        odd.append(f"The loss hardly fell ({first:.3f} to {last:.3f}): raise the learning rate or train longer.")
    norms = [entry["grad_norm"] for entry in steps if "grad_norm" in entry]
    clipped = sum(norm > max_gradient_norm for norm in norms) / len(norms) if norms else 0.0
    if clipped > 0.5 and max(norms) > 10 * max_gradient_norm:
        odd.append(f"{clipped:.0%} of the gradients were cut, some tenfold: a lower learning rate is safer.")
    odd += _validation_findings([entry["eval_loss"] for entry in history if "eval_loss" in entry])
    odd += _preference_findings(steps)
    if bad:
        return Verdict("unstable", tuple(bad + odd))
    if odd:
        return Verdict("watch", tuple(odd))
    return Verdict("stable", (f"The loss fell evenly from {first:.3f} to {last:.3f}; nothing to change.",))


def _spikes(losses: Sequence[float]) -> int:
    count = 0
    for number in range(WINDOW, len(losses)):
        around = statistics.median(losses[number - WINDOW : number])
        count += losses[number] > max(around * SPIKE, around + 0.3)
    return count


def _validation_findings(losses: Sequence[float]) -> list[str]:
    if len(losses) >= 2 and losses[-1] > min(losses) * 1.01:
        best = losses.index(min(losses)) + 1
        return [
            f"The validation loss was best at evaluation {best} of {len(losses)} ({min(losses):.3f}) and rose to "
            f"{losses[-1]:.3f}: fewer epochs, or early_stopping."
        ]
    return []


def _preference_findings(steps: Sequence[dict[str, float]]) -> list[str]:
    """DPO: the chosen text's likelihood can fall with the rejected one's (Razin et al. 2024)."""
    chosen = [entry["rewards/chosen"] for entry in steps if "rewards/chosen" in entry]
    accuracies = [entry["rewards/accuracies"] for entry in steps if "rewards/accuracies" in entry]
    findings = []
    if len(chosen) >= 10 and statistics.fmean(chosen[-5:]) < -1:
        findings.append(
            "The author's own text became less likely while the pairs were learned: raise dpo_sft_weight or dpo_beta."
        )
    if len(accuracies) >= 10 and statistics.fmean(accuracies[-5:]) < 0.55:
        findings.append("The pairs were hardly learned: raise dpo_learning_rate, or look at the pairs themselves.")
    return findings
