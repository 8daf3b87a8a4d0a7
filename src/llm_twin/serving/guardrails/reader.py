"""A small encoder that was tuned to hear orders: MiniLM with low-rank adapters (LoRA, Hu et al. 2021) on its layers.

A sentence encoder puts texts on one subject together, whether they ask, tell or order. Tuned, it tells manner from
subject, in words that no list knows. The adapters are shipped (`tuned.npz`) and merged into the encoder's weights when
it is loaded, so it costs what the encoder costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from llm_twin.embedding.loading import MINILM, find_folder, read_json
from llm_twin.embedding.precision import choose_precision
from llm_twin.embedding.sizes import use_few_sizes

MAX_TOKENS = 192
BATCH = 32
SCALE = 2.0  # of an adapter's product: LoRA's alpha over its rank
ADAPTED = (
    "attention.self.query",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class Reader:
    """Scores texts; called from several threads at once."""

    def __init__(self, model: Any, head: Any, tokenizer: Any, pad: int) -> None:
        self.model, self.head, self.tokenizer, self.pad = model, head, tokenizer, pad

    def score(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """n × 2, float32: log odds that a text is an attack, as a question and as a piece of a document."""
        import torch

        encoded = [one.ids for one in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda row: len(encoded[row]))
        scores = np.zeros((len(texts), 2), np.float32)
        with torch.inference_mode():
            for at in range(0, len(order), BATCH):
                part = order[at : at + BATCH]
                scores[part] = read_batch(self.model, self.head, [encoded[row] for row in part], self.pad).numpy()
        return scores


def read_batch(model: Any, head: Any, encoded: Sequence[Sequence[int]], pad: int) -> Any:
    """Scores (n × 2) of texts given as token ids: the head over the mean and the maximum of the token states."""
    import torch

    width = max(len(row) for row in encoded)
    ids = torch.full((len(encoded), width), pad, dtype=torch.long)
    mask = torch.zeros((len(encoded), width), dtype=torch.long)
    for at, row in enumerate(encoded):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = 1
    states = model(ids, mask).last_hidden_state.float()
    there = mask.unsqueeze(-1).float()
    mean = (states * there).sum(1) / there.sum(1)
    greatest = states.masked_fill(there == 0, -1e4).max(1).values
    return head(torch.cat([mean, greatest], 1))


def open_encoder(dtype: Any) -> tuple[Any, Any, int]:
    """The packaged MiniLM, untuned, its tokenizer and padding token. Raises ModelError if it cannot be had."""
    from tokenizers import Tokenizer
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = find_folder(MINILM)
    model = AutoModel.from_pretrained(folder, dtype=dtype).eval()
    model.pooler = None
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return model, tokenizer, int(read_json(folder / "config.json").get("pad_token_id") or 0)


def new_head(model: Any) -> Any:
    """What turns pooled states into the two scores."""
    import torch

    return torch.nn.Linear(2 * int(model.config.hidden_size), 2)


@cache
def load_reader() -> Reader:
    """The tuned reader, whatever encoder the twin itself uses. Raises ModelError if MiniLM cannot be had."""
    with (resources.files("llm_twin.serving.guardrails") / "tuned.npz").open("rb") as file:
        return build_reader(dict(np.load(file)))


def build_reader(tuned: dict[str, np.ndarray[Any, Any]]) -> Reader:
    """A reader from adapters (`LAYER.MODULE.a` and `.b`) and head."""
    import torch

    model, tokenizer, pad = open_encoder(torch.float32)
    head = new_head(model)
    with torch.no_grad():
        for number, layer in enumerate(model.encoder.layer):
            for name in ADAPTED:
                a, b = (torch.from_numpy(tuned[f"{number}.{name}.{side}"]).float() for side in "ab")
                layer.get_submodule(name).weight += SCALE * (b @ a)
        head.weight.copy_(torch.from_numpy(tuned["head.weight"]))
        head.bias.copy_(torch.from_numpy(tuned["head.bias"]))
    if choose_precision("auto") == "bf16":
        model.to(torch.bfloat16)
        use_few_sizes(model)
    return Reader(model, head, tokenizer, pad)
