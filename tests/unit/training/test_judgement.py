"""Statistics and verdicts on curves and losses that are known."""

from __future__ import annotations

import math

import pytest

from llm_twin.training.perplexity import DocumentLoss, compare_losses, document_losses, perplexity
from llm_twin.training.rewards import reward_accuracy
from llm_twin.training.stability import judge_stability


def curve(losses, **more):
    return [{"step": number, "loss": loss, "grad_norm": 0.5, **more} for number, loss in enumerate(losses)]


def test_verdicts():
    falling = [5 - 0.04 * n for n in range(50)]
    assert judge_stability(curve(falling)).level == "stable"
    assert judge_stability(curve(falling[::-1])).level == "unstable"
    spiky = [9.0 if n % 8 == 7 else loss for n, loss in enumerate(falling)]
    verdict = judge_stability(curve(spiky))
    assert verdict.level == "unstable" and "jumped" in verdict.findings[0]
    overfitted = curve(falling) + [{"step": n, "eval_loss": loss} for n, loss in ((10, 4.0), (30, 3.5), (49, 3.9))]
    verdict = judge_stability(overfitted)
    assert verdict.level == "watch" and "best at evaluation 2 of 3" in verdict.findings[0]
    assert judge_stability(curve([1.0, 2.0])).level == "watch"
    displaced = judge_stability(curve(falling, **{"rewards/chosen": -3.0, "rewards/accuracies": 0.9}))
    assert any("less likely" in finding for finding in displaced.findings)


def test_pairing_by_document_sees_a_small_even_gain():
    before = [DocumentLoss(100.0 * (n + 1), 100) for n in range(12)]
    after = [DocumentLoss(100.0 * (n + 1) - 2, 100) for n in range(12)]
    found = compare_losses(before, after)
    assert found.difference == pytest.approx(-0.02) and found.high < 0 and found.p_value < 0.01
    assert found.ratio == pytest.approx(math.exp(-0.02))
    with pytest.raises(ValueError, match="cannot pair"):
        compare_losses(before, after[:3])


def test_every_token_is_predicted_once(tiny_base):
    from llm_twin.training.base import load_model, load_tokenizer

    model, tokenizer = load_model(tiny_base), load_tokenizer(tiny_base)
    text = "The kettle keeps its own slow counsel. " * 20
    tokens = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    whole, windows = (document_losses(model, tokenizer, [text], size)[0] for size in (256 * 8, 32))
    assert whole.tokens == windows.tokens == tokens
    assert perplexity([whole]) > 1


def test_the_interval_resamples_documents():
    margins = [1.0] * 8 + [-1.0] * 2
    found = reward_accuracy(margins, ["a"] * 5 + ["b"] * 5)
    assert found.value == 0.8 and found.low == 0.6 and found.high == 1.0
