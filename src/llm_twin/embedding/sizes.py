"""Matrix products of few sizes, so that memory stays flat however long texts are.

For bf16, oneDNN compiles a kernel for each number of rows that it meets, and keeps the last thousand: near 1 MB each,
four to a layer. Where each text has its own number of tokens that is a server which grows for hours. Here products are
cut into blocks of `BLOCK` rows and what is left over is padded, as each text is for attention: two dozen sizes in all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

BLOCK = 512  # rows of one product: more are not faster on one thread


def round_up(rows: int) -> int:
    """The size that so many rows, at most a block, are padded to: from 5 on at most a quarter more, mostly far less."""
    step = 4
    while rows > 8 * step and step < 64:
        step *= 2
    return -(-rows // step) * step


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
