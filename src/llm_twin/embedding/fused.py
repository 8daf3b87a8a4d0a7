"""BERT's layers without padding and through oneDNN's fused operations, for bf16 on a CPU: a third less time.

The texts of a batch lie one after the other, with zeros after the last up to one of few sizes (sizes.py), so that next
to no product runs over padding; attention goes text by text, whose scores stay in the processor's cache. One product
for queries, keys and values; GELU and the residual sums are part of the products that come before them; weights are
laid out once as the processor wants them. PyTorch's own compiler emits the same operations, but needs a C++ compiler
where it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llm_twin.embedding.sizes import round_rows, round_text

MIN_COSINE = 0.999  # of a layer's output with the modules' own; below it they are kept
PROBE = ((101, 2023, 2003, 1037, 3231, 102), (101, 1996, 10938, 19673, 2015, 1996, 4231, 102))

# token ids of each text → last hidden states of all their tokens in order, tokens × dimension; not finite where the
# scores of attention go beyond what exp can say (some 88): such texts are for the model's own layers
Forward = Callable[[Sequence[Sequence[int]]], Any]


def fuse(model: Any) -> Forward | None:
    """The fused forward pass of a BertModel; None where it cannot be had or does not agree with the model's own."""
    import torch

    config = model.config
    plain = getattr(config, "position_embedding_type", "absolute") == "absolute" and config.hidden_act == "gelu"
    if type(model).__name__ != "BertModel" or not plain or not torch.backends.mkldnn.is_available():
        return None
    try:
        layers = [_pack(layer) for layer in model.encoder.layer]
        forward = _make_forward(model.embeddings, layers, config.num_attention_heads)
        return forward if _agrees(model, forward) else None
    except (AttributeError, RuntimeError):  # another version of PyTorch or transformers: the plain way still works
        return None


def _pack(layer: Any) -> tuple[Any, ...]:
    """Weights of one layer, laid out for oneDNN, and its two normalisations."""
    import torch

    attention = layer.attention
    parts = (attention.self.query, attention.self.key, attention.self.value)
    joined = torch.cat([one.weight for one in parts]).detach(), torch.cat([one.bias for one in parts]).detach()
    denses = (attention.output.dense, layer.intermediate.dense, layer.output.dense)
    pairs = [joined, *((one.weight.detach(), one.bias.detach()) for one in denses)]
    reorder = torch.ops.mkldnn._reorder_linear_weight
    packed = [part for weight, bias in pairs for part in (reorder(weight.contiguous()), bias)]
    return (*packed, attention.output.LayerNorm, layer.output.LayerNorm)


def _make_forward(embeddings: Any, layers: list[tuple[Any, ...]], heads: int) -> Forward:
    import torch

    linear = torch.ops.mkldnn._linear_pointwise

    def forward(rows: Sequence[Sequence[int]]) -> Any:
        lengths = [len(row) for row in rows]
        ends = np.cumsum(lengths).tolist()
        ids, places = np.zeros((2, 1, round_rows(ends[-1])), np.int64)
        ids[0, : ends[-1]] = np.concatenate([np.asarray(row, np.int64) for row in rows])
        places[0, : ends[-1]] = np.concatenate([np.arange(length) for length in lengths])
        tokens = torch.from_numpy(ids)
        state = embeddings(
            input_ids=tokens, position_ids=torch.from_numpy(places), token_type_ids=torch.zeros_like(tokens)
        )[0]
        for joined, joined_bias, out, out_bias, up, up_bias, down, down_bias, first, second in layers:
            seen = _attend(linear(state, joined, joined_bias, "none", [], None), ends, heads)
            state = first(linear.binary(seen, state, out, out_bias, "add"))
            wide = linear(state, up, up_bias, "gelu", [], "none")
            state = second(linear.binary(wide, state, down, down_bias, "add"))
        return state[: ends[-1]]

    return forward


def _attend(whole: Any, ends: list[int], heads: int) -> Any:
    """Attention within each text: queries, keys and values side by side (rows × 3·dimension) → rows × dimension.

    A text is padded to one of few sizes by the rows that follow it, which get no weight; rows after the last text
    become zeros. Softmax without its usual first step, taking off the greatest score: that is a pass over all scores,
    and changes nothing while the powers are finite. Powers of two are faster than exp, to which the scale brings them.
    """
    import torch

    width = whole.shape[1] // 3
    seen = whole.new_empty(len(whole), width)
    seen[ends[-1] :] = 0
    nothing, scale = whole.new_empty(()), (width // heads) ** -0.5 * math.log2(math.e)
    for start, end in zip([0, *ends], ends, strict=False):
        count = end - start
        size = round_text(count)
        rows = whole[start : start + size]
        if len(rows) < size:
            rows = torch.nn.functional.pad(rows, (0, 0, 0, size - len(rows)))
        query, key, value = rows.view(size, 3, heads, -1).permute(1, 2, 0, 3).contiguous()
        weights = torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=scale).exp2_()
        if size > count:
            weights[:, :, count:] = 0
        mixed, sums = torch.bmm(weights, value)[:, :count], weights.sum(-1, keepdim=True)[:, :count]
        torch.div(mixed.transpose(0, 1), sums.transpose(0, 1), out=seen[start:end].view(count, heads, -1))
    return seen


def _agrees(model: Any, forward: Forward) -> bool:
    """Whether both ways give the same vectors for each token of two short texts."""
    import torch

    with torch.inference_mode():
        ours = forward(PROBE).float()
        plain = [model(input_ids=torch.tensor([row])).last_hidden_state[0].float() for row in PROBE]
        likeness = torch.nn.functional.cosine_similarity(ours, torch.cat(plain))
    return bool(np.all(likeness.numpy() > MIN_COSINE))
