"""Micro-batching: eight waiting requests at once against one after another, on the local predictor's
engine."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

WAITING = 8
PROMPT_TOKENS, NEW_TOKENS = 96, 64


def measure_batching(rounds: int) -> dict[str, float | int | str]:
    """The figure `microbatch_ratio`: median of interleaved runs, greedy, every row writing the same
    length."""
    from llm_twin.serving.generation import BASE, Engine, Row, SamplingChoice

    with tempfile.TemporaryDirectory(prefix="bench-batching-") as folder:
        make_model(Path(folder))
        engine = Engine(folder, {}, max_batch=WAITING, wait_seconds=0.02)
        engine.model.generation_config.eos_token_id = None
        engine.tokenizer.eos_token = None

        def write(count: int) -> float:
            done = threading.Barrier(2)
            left = [count]

            def emit(text: str, finish: Any) -> None:
                if isinstance(finish, Exception):
                    raise finish
                if finish:
                    left[0] -= 1
                    if not left[0]:
                        done.wait()

            begun = time.perf_counter()
            for i in range(count):
                tokens = [(7 * i + 3 * j) % 250 for j in range(PROMPT_TOKENS)]
                engine.submit(Row(tokens, SamplingChoice(NEW_TOKENS), BASE, emit))
            done.wait()
            return time.perf_counter() - begun

        write(1)
        ratios, batch_seconds, serial_seconds = [], [], []
        for _ in range(rounds):
            engine.wait_seconds = 0.0
            serial = sum(write(1) for _ in range(WAITING))
            engine.wait_seconds = 0.02
            together = write(WAITING)
            ratios.append(serial / together)
            batch_seconds.append(together)
            serial_seconds.append(serial)
        engine.close()
    print(f"\n{WAITING} requests of {NEW_TOKENS} tokens, seconds:")
    print(f"  one after another {statistics.median(serial_seconds):.2f}")
    print(f"  in one batch      {statistics.median(batch_seconds):.2f}")
    return {"microbatch_ratio": round(statistics.median(ratios), 2)}


def make_model(
    folder: Path, *, layers: int = 6, width: int = 256, vocabulary: int = 8192, context: int = 1024, seed: int = 1
) -> None:
    """A Llama with random weights: what it writes does not matter here. Of a seedling's size, if no other is asked
    for."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(seed)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: i for i, letter in enumerate(letters)}
    raw = Tokenizer(models.BPE(vocab=vocab | {f"<{i}>": i for i in range(len(vocab), min(vocabulary, 512))}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=context).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=context,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
