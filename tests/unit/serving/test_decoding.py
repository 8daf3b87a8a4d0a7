"""Decoding with guesses, static caches and compilation writes exactly what plain decoding writes."""

from __future__ import annotations

import shutil
import threading

import pytest
import torch

from benchmarks.serving_batching import make_model
from llm_twin.errors import ModelError
from llm_twin.serving.generation import BASE, Engine, Row, SamplingChoice, Speed

TEXTS = [b"the boat came, the boat left, the boat came, the ", b"abcabcabcab", b"x", b"nothing here comes twice at al"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model of random weights, which soon repeats itself, and two of the same vocabulary that guess."""
    folder = tmp_path_factory.mktemp("models")
    make_model(folder / "large", layers=3, width=64, vocabulary=400, context=256)
    make_model(folder / "small", layers=1, width=32, vocabulary=400, context=256, seed=2)
    make_model(folder / "other", layers=1, width=32, vocabulary=300, context=256)
    return folder


def write(models, speed, choices, batch=8, adapters=None, names=()):
    """The tokens of one batch, one row for each sampling choice; and the engine's counts."""
    engine = Engine(models / "large", adapters or {}, max_batch=batch, wait_seconds=0.2, threads=1, speed=speed)
    engine.model.generation_config.eos_token_id = None
    done = threading.Semaphore(0)
    problems, rows = [], []
    before = engine.how.steps

    def emit(text, finish):
        if isinstance(finish, Exception):
            problems.append(finish)
        if finish is not None:
            done.release()

    for i, choice in enumerate(choices):
        rows.append(Row(list(TEXTS[i % len(TEXTS)]), choice, names[i] if names else BASE, emit))
    for row in rows:
        assert engine.submit(row)
    for _ in rows:
        assert done.acquire(timeout=120)
    engine.close()
    assert not problems
    return [row.written for row in rows], engine.how.steps - before, engine.how.right


GREEDY = [SamplingChoice(40), SamplingChoice(25), SamplingChoice(33), SamplingChoice(7)]
MIXED = [
    SamplingChoice(30, temperature=0.7, seed=5),
    SamplingChoice(30, repetition_penalty=1.3, presence_penalty=0.2, frequency_penalty=0.1),
    SamplingChoice(20, temperature=1.0, top_p=0.8, top_k=20, seed=9),
    SamplingChoice(24),
]
LOOKUP, STATIC = Speed("lookup"), Speed(static=True)
SPEEDS = {
    "lookup": LOOKUP,
    "static": STATIC,
    "lookup, static": Speed("lookup", guesses=6, static=True),
}


@pytest.mark.parametrize("choices", [GREEDY, MIXED, GREEDY[:1]], ids=["greedy", "sampled", "alone"])
@pytest.mark.parametrize("name", SPEEDS)
def test_the_same_is_written(models, name, choices):
    plain, steps, _ = write(models, Speed(), choices)
    fast, fewer, right = write(models, SPEEDS[name], choices)
    assert fast == plain
    assert fewer <= steps
    if SPEEDS[name].speculation != "none" and choices is GREEDY[:1]:
        assert right > 0 and fewer < steps


@pytest.mark.parametrize("choices", [GREEDY, MIXED, GREEDY[:1]], ids=["greedy", "sampled", "alone"])
@pytest.mark.parametrize("draft", ["small", "large"])
def test_a_draft_model_changes_nothing_and_saves_steps(models, draft, choices):
    plain, steps, _ = write(models, Speed(), choices)
    speed = Speed("draft", str(models / draft), guesses=3, static=draft == "large")
    fast, fewer, right = write(models, speed, choices)
    assert fast == plain
    if draft == "large" and choices is not MIXED:  # it guesses what it would write itself
        assert right > 0 and fewer < 0.5 * steps


def test_a_draft_model_must_have_the_same_vocabulary(models):
    with pytest.raises(ModelError, match="vocabulary"):
        Engine(models / "large", {}, threads=1, speed=Speed("draft", str(models / "other")))


def test_the_context_length_holds_with_guesses(models):
    choice = SamplingChoice(2000)
    plain, _, _ = write(models, Speed(), [choice])
    fast, _, _ = write(models, LOOKUP, [choice])
    assert fast == plain and len(plain[0]) + len(TEXTS[0]) == 256


def test_adapters_in_one_batch_keep_their_own_words(models, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    adapters = {}
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        get_peft_model(LlamaForCausalLM.from_pretrained(models / "large"), config).save_pretrained(tmp_path / name)
        adapters[name] = str(tmp_path / name)
    names = ("first", "second", BASE, "first")
    plain, _, _ = write(models, Speed(), GREEDY, adapters=adapters, names=names)
    assert plain[0] != write(models, Speed(), GREEDY[:1])[0][0]
    for speed in SPEEDS.values():
        assert write(models, speed, GREEDY, adapters=adapters, names=names)[0] == plain


@pytest.mark.timeout(900)  # a compiler is at work
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_it_writes_the_same(models):
    plain, _, _ = write(models, Speed(), GREEDY)
    assert write(models, Speed("lookup", static=True, compile=True), GREEDY)[0] == plain


def test_without_a_compiler_it_says_so(models, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ModelError, match="C\\+\\+ compiler"):
        Engine(models / "large", {}, threads=1, speed=Speed(compile=True))
