"""Tune the reader: low-rank adapters and a head, by gradient descent on the known texts' pieces."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from llm_twin.serving.guardrails.cutting import Piece
from llm_twin.serving.guardrails.reader import ADAPTED, SCALE, new_head, open_encoder, read_batch

RANK = 16
EPOCHS = 2
RATE = 1e-3
BATCH = 32
WARM_UP = 50  # steps
SMOOTHING = 0.02
# Of what there is plenty of, a share is enough: pieces of documents that are no order, and pairs of them.
HARMLESS_SHARE, PAIR_SHARE, HARMLESS_PAIR_SHARE, PATTERN_SHARE = 0.5, 0.5, 0.15, 0.2
PATTERN_SEED = 1


def tune(pieces: Sequence[Piece], seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Adapters and head learned from the labelled pieces; prints a line for each epoch."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.manual_seed(seed)
    chooser = random.Random(seed)
    model, tokenizer, pad = open_encoder(torch.float32)
    head = new_head(model)
    adapters = _adapt(model)
    learned = [*adapters.values(), *head.parameters()]
    rows = choose_pieces(pieces, chooser)
    ids = [one.ids for one in tokenizer.encode_batch([piece.text for piece in rows])]
    optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.01)
    steps = EPOCHS * (len(rows) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP) * max(0.02, 1 - step / steps)
    )
    balance = {place: _balance(rows, place) for place in (False, True)}
    model.train()
    begun = time.monotonic()
    for epoch in range(EPOCHS):
        losses = []
        for batch in _batches([len(row) for row in ids], chooser):
            asked = torch.tensor([int(rows[i].document) for i in batch])
            wanted = torch.tensor([float(rows[i].label == 1) for i in batch])
            weights = torch.tensor([balance[rows[i].document] if rows[i].label else 1.0 for i in batch])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                scores = read_batch(
                    model, torch.nn.Sequential(torch.nn.Dropout(0.1), head), [ids[i] for i in batch], pad
                )
            found = scores.float().gather(1, asked[:, None])[:, 0]
            target = wanted * (1 - 2 * SMOOTHING) + SMOOTHING
            loss = (binary_cross_entropy_with_logits(found, target, reduction="none") * weights).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(
            f"epoch {epoch}: loss {np.mean(losses):.4f}, {len(rows)} pieces, {time.monotonic() - begun:.0f} s",
            flush=True,
        )
    kept = {name: tensor.detach().numpy().astype(np.float16) for name, tensor in adapters.items()}
    return kept | {"head.weight": head.weight.detach().numpy(), "head.bias": head.bias.detach().numpy()}


def choose_pieces(pieces: Sequence[Piece], chooser: random.Random) -> list[Piece]:
    """The pieces to learn from: all whole questions and orders, a share of the rest."""
    patterns = random.Random(PATTERN_SEED)
    kept_patterns = {
        owner: patterns.random() < PATTERN_SHARE for owner in sorted({p.owner for p in pieces if p.pattern})
    }
    chosen = []
    for piece in pieces:
        share = 1.0
        if piece.pair:
            share = PAIR_SHARE if piece.label else HARMLESS_PAIR_SHARE
        elif piece.document and not piece.label:
            share = HARMLESS_SHARE
        if kept_patterns.get(piece.owner, True) and (share == 1.0 or chooser.random() < share):
            chosen.append(piece)
    return chosen


def _adapt(model: Any) -> dict[str, Any]:
    """Put a low-rank adapter on each product of `ADAPTED`; returns its parameters, the only ones to learn."""
    import torch

    class Adapted(torch.nn.Module):
        """A frozen product with its adapter beside it."""

        def __init__(self, frozen: Any) -> None:
            super().__init__()
            self.frozen = frozen
            self.a = torch.nn.Parameter(torch.randn(RANK, frozen.in_features) / frozen.in_features**0.5)
            self.b = torch.nn.Parameter(torch.zeros(frozen.out_features, RANK))

        def forward(self, x: Any) -> Any:
            """The sum of both."""
            return self.frozen(x) + SCALE * (x @ self.a.T @ self.b.T)

    for parameter in model.parameters():
        parameter.requires_grad_(False)
    found: dict[str, Any] = {}
    for number, layer in enumerate(model.encoder.layer):
        for name in ADAPTED:
            adapted = Adapted(layer.get_submodule(name))
            layer.set_submodule(name, adapted)
            found |= {f"{number}.{name}.a": adapted.a, f"{number}.{name}.b": adapted.b}
    return found


def _balance(rows: Sequence[Piece], document: bool) -> float:
    """What an attack weighs, so that a place's attacks are not drowned: the root of the ratio."""
    labels = [row.label for row in rows if row.document == document]
    attacks = sum(labels)
    return float(((len(labels) - attacks) / attacks) ** 0.5) if attacks else 1.0


def _batches(lengths: Sequence[int], chooser: random.Random) -> Iterator[list[int]]:
    """Batches in random order, each of texts of like length."""
    order = list(range(len(lengths)))
    chooser.shuffle(order)
    window = 20 * BATCH
    batches = []
    for at in range(0, len(order), window):
        part = sorted(order[at : at + window], key=lambda i: lengths[i])
        batches += [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
    chooser.shuffle(batches)
    yield from batches
