"""Matrix products of few sizes, so that memory stays flat however long texts are.

For bf16, oneDNN compiles a kernel for each number of rows that it meets, and keeps the last thousand: near 1 MB each,
four to a layer. Where each text has its own number of tokens that is a server which grows for hours.

The fused layers (fused.py) take batches that were packed to be nearly full, padded once to one of few sizes, and texts
padded for attention to one of few. In the model's own layers products are cut into blocks of `BLOCK` rows, and what is
left over is padded: two dozen sizes in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

BLOCK = 512  # rows of one product: more are not faster on one thread
BATCH_ROWS = 2048  # tokens of one batch of the fused layers


def round_up(rows: int) -> int:
    """The size that so many rows, at most a block, are padded to: from 5 on at most a quarter more, mostly far less."""
    step = 4
    while rows > 8 * step and step < 64:
        step *= 2
    return -(-rows // step) * step


def round_rows(rows: int) -> int:
    """The size that a batch of the fused layers is padded to; beyond a block one of every 256."""
    return round_up(rows) if rows <= BLOCK else -(-rows // 256) * 256


def round_text(tokens: int) -> int:
    """The size that a text is padded to for attention, whose time grows with its square: finer than `round_up`."""
    step = 8 if tokens <= 64 else 16 if tokens <= 256 else 32
    return (tokens + step - 1) // step * step


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Places of `lengths` in batches that sum up to at most `capacity`, as full as first fit makes them, longest first.

    A length beyond the capacity is a batch of its own.
    """
    batches: list[list[int]] = []
    left: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        at = next((at for at, room in enumerate(left) if room >= lengths[place]), len(left))
        if at == len(left):
            batches.append([])
            left.append(capacity)
        batches[at].append(place)
        left[at] -= lengths[place]
    return batches


def cut(rows: Any) -> list[Any]:
    """Rows (n × width) as blocks; the last one is padded with zeros."""
    import torch

    if len(rows) <= BLOCK and len(rows) == round_up(len(rows)):
        return [rows]
    *whole, last = rows.split(BLOCK)
    missing = round_up(len(last)) - len(last)
    return [*whole, torch.nn.functional.pad(last, (0, 0, 0, missing)) if missing else last]


def join(blocks: list[Any], rows: int) -> Any:
    """The blocks as one matrix, without what was padded."""
    import torch

    whole = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
    return whole if len(whole) == rows else whole[:rows]


def use_few_sizes(model: Any) -> None:
    """Make the model's linear layers compute in blocks."""
    import torch

    for module in model.modules():
        if type(module) is torch.nn.Linear:
            setattr(module, "forward", partial(_linear, module))  # noqa: B010 - mypy refuses to assign to a method


def _linear(module: Any, state: Any) -> Any:
    import torch

    rows = state.flatten(0, -2)
    parts = [torch.nn.functional.linear(one, module.weight, module.bias) for one in cut(rows)]
    return join(parts, len(rows)).view(*state.shape[:-1], -1)
