"""What guesses, a static cache and compilation gain on the local predictor: answers of which half is quoted."""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

REQUESTS = 4
PROMPT_TOKENS, NEW_TOKENS = 64, 64
STEPS = 250


def measure_speed(rounds: int) -> dict[str, float | int | str]:
    """`speed_NAME_ratio`: the plain loop's seconds over this one's, for requests alone; medians of interleaved rounds.

    `speed_NAME_steps` is its share of the plain loop's forward passes, which depends on no machine. Every one writes
    the same tokens: `speed_differ` counts those that do not.
    """
    import shutil

    from benchmarks.serving_batching import make_model
    from llm_twin.serving.generation import Engine, Speed

    with tempfile.TemporaryDirectory(prefix="bench-speed-") as name:
        folder = Path(name)
        texts = make_texts()
        for part, layers, width in (("model", 6, 256), ("draft", 1, 128)):
            make_model(folder / part, layers=layers, width=width, vocabulary=512, context=512)
            learn(folder / part, texts)
        speeds = {
            "plain": Speed(),
            "lookup": Speed("lookup"),
            "draft": Speed("draft", str(folder / "draft")),
            "static": Speed(static=True),
        }
        if shutil.which("g++"):
            speeds["compile"] = Speed(compile=True)
            speeds["compile_static"] = Speed(static=True, compile=True)
        engines = {}
        for row, speed in speeds.items():
            begun = time.perf_counter()
            engines[row] = Engine(folder / "model", {}, max_batch=REQUESTS, wait_seconds=0.0, speed=speed)
            if speed.compile:
                print(f"{row}: {time.perf_counter() - begun:.0f} s to start")
        prompts = [text[:PROMPT_TOKENS] for text in texts]
        seconds: dict[str, list[float]] = {row: [] for row in speeds}
        written: dict[str, list[list[int]]] = {}
        for turn in range(rounds + 1):  # the first one warms up
            for row, engine in engines.items():
                engine.how.steps = 0
                begun = time.perf_counter()
                written[row] = [write(engine, prompt) for prompt in prompts]
                if turn:
                    seconds[row].append(time.perf_counter() - begun)
        figures: dict[str, float | int | str] = {}
        plain_steps = engines["plain"].how.steps
        print(f"\n{REQUESTS} requests of {NEW_TOKENS} tokens, one after another, seconds:")
        for row, engine in engines.items():
            ratio = statistics.median(a / b for a, b in zip(seconds["plain"], seconds[row], strict=True))
            steps = engine.how.steps / plain_steps
            print(f"  {row:<16}{statistics.median(seconds[row]):>7.2f}{ratio:>7.2f} times{steps:>7.2f} of the steps")
            if row != "plain":
                figures[f"speed_{row}_ratio"] = round(ratio, 2)
                figures[f"speed_{row}_steps"] = round(steps, 2)
            engine.close()
        figures["speed_differ"] = sum(one != written["plain"] for one in written.values())
    return figures


def write(engine: Any, prompt: list[int]) -> list[int]:
    """The tokens that one request writes."""
    from llm_twin.serving.generation import BASE, Row, SamplingChoice

    done = threading.Event()
    problems: list[Exception] = []

    def emit(text: str, finish: Any) -> None:
        if isinstance(finish, Exception):
            problems.append(finish)
        if finish is not None:
            done.set()

    row = Row(list(prompt), SamplingChoice(NEW_TOKENS), BASE, emit)
    engine.submit(row)
    done.wait()
    if problems:
        raise problems[0]
    return row.written


def make_texts() -> list[list[int]]:
    """Prompts with their answers: the first half of an answer stands in the prompt, the second half is new."""
    shuffled = random.Random(3)
    texts = []
    for _ in range(REQUESTS):
        prompt = [shuffled.randrange(5, 250) for _ in range(PROMPT_TOKENS)]
        at = shuffled.randrange(PROMPT_TOKENS - NEW_TOKENS // 2)
        quoted = prompt[at : at + NEW_TOKENS // 2]
        texts.append([*prompt, *quoted, *(shuffled.randrange(5, 250) for _ in range(NEW_TOKENS // 2))])
    return texts


def learn(folder: Path, texts: list[list[int]]) -> None:
    """Teach the model in `folder` to write these answers, word for word."""
    import torch
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model: Any = LlamaForCausalLM.from_pretrained(folder)
    model.generation_config.eos_token_id = None
    tokens = torch.tensor(texts)
    labels = tokens.clone()
    labels[:, :PROMPT_TOKENS] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(STEPS):
        loss = model(input_ids=tokens, labels=labels).loss
        if loss.item() < 0.02:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
