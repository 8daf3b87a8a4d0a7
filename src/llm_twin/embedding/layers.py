"""BERT's layers over texts that lie one after the other, written so that TorchScript takes all of them at once.

A compiled call gives Python's lock back once, not at each of the thousand operations of a batch: while another thread
runs Python, such as the one that cleans and cuts the next documents, each return of the lock may take 5 ms.
"""

import math
from typing import Any

import torch

from llm_twin.embedding.sizes import round_text


def run_layers(
    state: torch.Tensor, layers: list[list[torch.Tensor]], ends: list[int], heads: int, epsilon: float
) -> torch.Tensor:
    """Embedded tokens (rows × dimension), weights as `fused.py` lays them out, where each text ends → last states."""
    shape = [state.shape[1]]
    for weights in layers:
        joined, joined_bias, out, out_bias, up, up_bias = weights[:6]
        down, down_bias, first, first_bias, second, second_bias = weights[6:]
        seen = attend(torch.ops.mkldnn._linear_pointwise(state, joined, joined_bias, "none", [], ""), ends, heads)
        mixed = torch.ops.mkldnn._linear_pointwise(seen, state, out, out_bias, "add")
        state = torch.layer_norm(mixed, shape, first, first_bias, epsilon)
        wide = torch.ops.mkldnn._linear_pointwise(state, up, up_bias, "gelu", [], "none")
        mixed = torch.ops.mkldnn._linear_pointwise(wide, state, down, down_bias, "add")
        state = torch.layer_norm(mixed, shape, second, second_bias, epsilon)
    return state


def attend(whole: torch.Tensor, ends: list[int], heads: int) -> torch.Tensor:
    """Queries, keys and values side by side (rows × 3·dimension), where each text ends → rows × dimension.

    A text is padded to one of few sizes by the rows that follow it, which get no weight; rows after the last text
    become zeros. Softmax without its usual first step, taking off the greatest score: that is a pass over all scores,
    and changes nothing while the powers are finite. Powers of two are faster than exp, to which the scale brings them.
    """
    width = whole.shape[1] // 3
    seen = torch.empty([whole.shape[0], width], dtype=whole.dtype)
    seen[ends[-1] :] = 0
    nothing, scale = torch.empty([], dtype=whole.dtype), (width // heads) ** -0.5 / math.log(2.0)
    start = 0
    for end in ends:
        count = end - start
        size = round_text(count)
        rows = whole[start : start + size]
        if rows.shape[0] < size:
            rows = torch.nn.functional.pad(rows, [0, 0, 0, size - rows.shape[0]])
        parts = rows.view(size, 3, heads, -1).permute(1, 2, 0, 3).contiguous()
        weights = torch.baddbmm(nothing, parts[0], parts[1].transpose(1, 2), beta=0.0, alpha=scale).exp2_()
        if size > count:
            weights[:, :, count:] = 0
        mixed = torch.bmm(weights, parts[2])[:, :count].transpose(0, 1)
        sums = weights.sum(-1, keepdim=True)[:, :count].transpose(0, 1)
        torch.div(mixed, sums, out=seen[start:end].view(count, heads, -1))
        start = end
    return seen


def compile_layers() -> Any:
    """`run_layers`, compiled; as it stands where this version of PyTorch has no TorchScript for it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's advice, torch.compile, needs a C++ compiler
        try:
            return torch.jit.script(run_layers)
        except (AttributeError, RuntimeError):
            return run_layers
