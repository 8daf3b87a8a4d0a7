import pytest

from llm_twin.evaluation.candidates import load_candidates
from llm_twin.evaluation.likelihood import encode_prompt, generate_texts, score_completions


@pytest.fixture(scope="module")
def candidates(tiny):
    return load_candidates(tiny / "base", {"sft": tiny / "sft", "dpo": tiny / "dpo"})


def ask(text):
    return [{"role": "user", "content": text}]


PAIRS = [(ask("Write."), "The harbour gauge is read at dawn."), (ask("Write about clocks."), "A slow clock.")]


def test_losses_are_the_sum_of_token_losses_whatever_the_batch(candidates):
    import torch

    model, tokenizer = candidates.model, candidates.tokenizer
    together = score_completions(model, tokenizer, PAIRS, batch_size=2)
    for (messages, completion), (loss, tokens) in zip(PAIRS, together, strict=True):
        prompt = encode_prompt(tokenizer, messages)
        answer = tokenizer(completion, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([prompt + answer])
        with torch.inference_mode():
            logits = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
        by_hand = -sum(float(logits[len(prompt) + i - 1, token]) for i, token in enumerate(answer))
        assert tokens == len(answer)
        assert loss == pytest.approx(by_hand, abs=1e-3)


def test_a_completion_longer_than_the_context_is_cut_not_refused(candidates):
    long = " ".join(["tide"] * 2000)
    [(loss, tokens)] = score_completions(candidates.model, candidates.tokenizer, [(ask("Write."), long)])
    assert 0 < tokens <= 160 and loss > 0


def test_adapters_are_switched_on_and_off(candidates):
    found = {}
    for name in ("base", "sft", "dpo", "base"):
        with candidates.active(name) as model:
            found.setdefault(name, []).append(score_completions(model, candidates.tokenizer, PAIRS))
    assert found["base"][0] == found["base"][1]
    total = {name: sum(loss for loss, _ in runs[0]) for name, runs in found.items()}
    assert total["dpo"] < total["sft"] < total["base"]


def test_generation_is_the_same_every_time_and_in_prompt_order(candidates):
    prompts = [ask("Write about a rather long subject, please."), ask("Hi.")]
    with candidates.active("dpo") as model:
        first = generate_texts(model, candidates.tokenizer, prompts, 20, seed=1, temperature=0.8)
        again = generate_texts(model, candidates.tokenizer, prompts, 20, seed=1, temperature=0.8)
        other = generate_texts(model, candidates.tokenizer, prompts, 20, seed=2, temperature=0.8)
    assert first == again != other
    assert len(first) == 2 and all(first)
