"""The loop over the KV cache of one batch: each step reads every row's last token, and guesses at what follows it.

The batch is padded on the left. A column of the cache is a place for one token of each row; a guess that was wrong
leaves a column that the attention mask hides, and columns that no row needs are cut off again. So rows of which some
guesses were right and others were not can stay in one batch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from llm_twin.errors import ModelError
from llm_twin.serving.guessing import Guesser
from llm_twin.serving.rows import Row, pick_token

COLUMNS = 256  # a static cache holds a multiple of this


@dataclass(frozen=True)
class Speed:
    """What a recipe asks for to answer sooner (`serving.engine`, `serving.compile`)."""

    speculation: Literal["none", "lookup", "draft"] = "none"
    draft_model: str = ""  # folder
    guesses: int = 4
    static: bool = False
    compile: bool = False


@dataclass
class Decoding:
    """How batches are decoded: by which forward pass, into which kind of cache, with whose guesses."""

    context: int  # tokens
    pad: int = 0
    make_guesser: Callable[[], Guesser] | None = None
    guesses: int = 0  # at most, in one step
    static: bool = False
    compiled: Any = None  # the forward pass of all steps but the first
    steps: int = 0
    right: int = 0  # guesses that were


def decode(
    model: Any, rows: list[Row], chosen: list[str] | None, advance: Callable[[Row, int], bool], how: Decoding
) -> None:
    """Write all rows to their ends. `advance(row, token)` takes a token and says whether the row is done; `chosen`
    names each row's adapter in a mixed batch."""
    import torch

    device = next(model.parameters()).device
    longest = max(len(row.tokens) for row in rows)
    tokens = torch.tensor([[how.pad] * (longest - len(r.tokens)) + r.tokens for r in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(r.tokens)) + [1] * len(r.tokens) for r in rows], device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    room, cache = make_cache(model, rows, longest, how)
    for row in rows:
        if row.sampling.seed is not None:
            row.generator = torch.Generator(device=device).manual_seed(row.sampling.seed % 2**63)
    guesser = how.make_guesser() if how.make_guesser is not None and how.guesses else None
    if guesser is not None:
        guesser.begin(rows, tokens, mask, positions)
    guesses: list[list[int]] = [[] for _ in rows]
    over: set[int] = set()  # rows of a static cache that are done: it cannot let go of them
    forward = model
    while True:
        width = tokens.shape[1]
        most = max(len(guess) for guess in guesses)
        extra: dict[str, Any] = {} if chosen is None else {"adapter_names": chosen}
        result = forward(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=most + 1,
            **extra,
        )
        forward, cache = how.compiled or model, result.past_key_values
        how.steps += 1
        logits = result.logits.float()
        kept, picked = [0] * len(rows), [how.pad] * len(rows)
        done = []
        for i, row in enumerate(rows):
            if i in over:
                continue
            kept[i], picked[i], finished = _take(row, logits[i], guesses[i], advance)
            if finished:
                done.append(i)
        how.right += sum(kept)
        left = [i for i in range(len(rows)) if i not in over and i not in done]
        if not left:
            return
        # Columns behind the last one that a row needs are cut off, the others' wrong guesses are hidden.
        used = max(kept[i] for i in left) + 1
        dropped = most + 1 - used
        if most:
            right = torch.arange(1, used, device=device)[None] <= torch.tensor(kept, device=device)[:, None]
            mask = torch.cat([mask[:, : mask.shape[1] - most], right.to(mask.dtype)], dim=-1)
            crop(cache, dropped)
        positions = positions[:, width - most - 1 : width - most] + torch.tensor(kept, device=device)[:, None] + 1
        if how.static:
            over.update(done)
        elif done:
            rows, picked = [rows[i] for i in left], [picked[i] for i in left]
            chosen = None if chosen is None else [chosen[i] for i in left]
            index = torch.tensor(left, device=device)
            cache.batch_select_indices(index)
            mask, positions = mask[index], positions[index]
        if guesser is not None:
            guesser.keep(dropped, left if done and not how.static else None)
        guesses = _guess(guesser, rows, picked, over, mask, positions, room, how)
        tokens, mask, positions = _lay_out(picked, guesses, mask, positions, how)


def _take(row: Row, logits: Any, guess: list[int], advance: Callable[[Row, int], bool]) -> tuple[int, int, bool]:
    """Pick tokens for as long as they are the guessed ones: how many guesses were right, the last token, and whether
    the row is done."""
    for at in range(len(guess) + 1):
        token = pick_token(logits[at], row)
        if advance(row, token):
            return at, token, True
        if at == len(guess) or guess[at] != token:
            return at, token, False
    raise AssertionError("unreachable")


def _guess(
    guesser: Guesser | None,
    rows: list[Row],
    picked: list[int],
    over: set[int],
    mask: Any,
    positions: Any,
    room: int | None,
    how: Decoding,
) -> list[list[int]]:
    """Guesses for the next step: none that a row has no use for, or that a static cache has no room for."""
    if guesser is None:
        return [[] for _ in rows]
    lefts = [0 if i in over else row.left(how.context) for i, row in enumerate(rows)]
    count = min(how.guesses, max(lefts) - 1)
    if room is not None:
        count = min(count, room - mask.shape[1] - max(lefts))  # each row may need a column for each token still
    count = max(0, count)
    found = guesser.guess(rows, picked, mask, positions, count)
    guesses = [guess[: max(0, left - 1)] for guess, left in zip(found, lefts, strict=True)]
    guesser.keep(count - max(len(guess) for guess in guesses), None)
    return guesses


def _lay_out(
    picked: list[int], guesses: list[list[int]], mask: Any, positions: Any, how: Decoding
) -> tuple[Any, Any, Any]:
    """Tokens and positions (rows × 1 + guesses) of the next step, and the mask with its columns."""
    import torch

    most = max(len(guess) for guess in guesses)
    padded = [[one, *guess, *[how.pad] * (most - len(guess))] for one, guess in zip(picked, guesses, strict=True)]
    shown = [[1] * (1 + len(guess)) + [0] * (most - len(guess)) for guess in guesses]
    mask = torch.cat([mask, torch.tensor(shown, dtype=mask.dtype, device=mask.device)], dim=-1)
    positions = positions + torch.arange(1 + most, device=mask.device)[None]
    return torch.tensor(padded, device=mask.device), mask, positions.clamp(max=how.context - 1)


def make_cache(model: Any, rows: list[Row], longest: int, how: Decoding) -> tuple[int | None, Any]:
    """The columns of a static cache and the cache; None and None: one that grows, which the model makes."""
    if not how.static:
        return None, None
    from transformers import StaticCache

    needed = longest + max(row.left(how.context) for row in rows) + 8 * how.guesses
    room = -(-needed // COLUMNS) * COLUMNS
    return room, StaticCache(config=model.config, max_cache_len=room)


def crop(cache: Any, columns: int) -> None:
    """Cut the last columns off."""
    if not columns:
        return
    for layer in cache.layers:
        if hasattr(layer, "cumulative_length"):  # a static layer: the next tokens are written over them
            layer.cumulative_length.sub_(columns)
        else:
            layer.crop(-columns)


def check_attention(model: Any, what: str) -> None:
    """Raises ModelError where a layer does not look at the whole cache: there columns cannot be cut off again."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    if kinds - {"full_attention"} or (not kinds and getattr(config, "sliding_window", None)):
        raise ModelError(
            f"{what} needs a model whose layers all look at the whole text; this one has {sorted(kinds) or 'windows'}",
            "switch it off for this model",
        )


def compile_forward(model: Any) -> Any:
    """The model's forward pass, compiled for batches of any size. Raises ModelError where nothing can compile it."""
    import torch

    compilers = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    if not any(shutil.which(one) for one in compilers):
        raise ModelError(
            f"serving.compile needs a C++ compiler, and there is none here ({', '.join(compilers)})",
            "install g++ or clang++, or leave serving.compile off",
        )
    return torch.compile(model.forward, dynamic=True)
