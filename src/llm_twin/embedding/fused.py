"""BERT's layers without padding and through oneDNN's fused operations, for bf16 on a CPU: a third less time.

The texts of a batch lie one after the other, with zeros after the last up to one of few sizes (sizes.py), so that next
to no product runs over padding; attention goes text by text, whose scores stay in the processor's cache. One product
for queries, keys and values; GELU and the residual sums are part of the products that come before them; weights are
laid out once as the processor wants them. PyTorch's own compiler emits the same operations, but needs a C++ compiler
where it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llm_twin.embedding.sizes import round_rows

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
        forward = _make_forward(model.embeddings, layers, config.num_attention_heads, config.layer_norm_eps)
        return forward if _agrees(model, forward) else None
    except (AttributeError, RuntimeError):  # another version of PyTorch or transformers: the plain way still works
        return None


def _pack(layer: Any) -> list[Any]:
    """Weights of one layer, laid out for oneDNN, and its two normalisations."""
    import torch

    attention = layer.attention
    parts = (attention.self.query, attention.self.key, attention.self.value)
    joined = torch.cat([one.weight for one in parts]).detach(), torch.cat([one.bias for one in parts]).detach()
    denses = (attention.output.dense, layer.intermediate.dense, layer.output.dense)
    pairs = [joined, *((one.weight.detach(), one.bias.detach()) for one in denses)]
    reorder = torch.ops.mkldnn._reorder_linear_weight
    packed = [part for weight, bias in pairs for part in (reorder(weight.contiguous()), bias)]
    norms = (attention.output.LayerNorm, layer.output.LayerNorm)
    return packed + [part.detach() for norm in norms for part in (norm.weight, norm.bias)]


def _make_forward(embeddings: Any, layers: list[list[Any]], heads: int, epsilon: float) -> Forward:
    import torch

    from llm_twin.embedding.layers import compile_layers

    run_layers = compile_layers()

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
        return run_layers(state, layers, ends, heads, epsilon)[: ends[-1]]

    return forward


def _agrees(model: Any, forward: Forward) -> bool:
    """Whether both ways give the same vectors for each token of two short texts."""
    import torch

    with torch.inference_mode():
        ours = forward(PROBE).float()
        plain = [model(input_ids=torch.tensor([row])).last_hidden_state[0].float() for row in PROBE]
        likeness = torch.nn.functional.cosine_similarity(ours, torch.cat(plain))
    return bool(np.all(likeness.numpy() > MIN_COSINE))
