"""What the lower layers of the packaged encoder make of a text: what it does rather than what it is about.

A sentence encoder's last layer is trained to put texts on one subject together, whether they ask, tell or order. Its
lower layers still hold the manner (Tenney et al. 2019, "BERT rediscovers the classical NLP pipeline"), and cost half.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from llm_twin.embedding.loading import MINILM, find_folder, read_json
from llm_twin.embedding.precision import choose_precision
from llm_twin.embedding.sizes import use_few_sizes

LAYERS = (2, 3)  # of six; the layers above are not computed
BATCH = 64
MAX_TOKENS = 256


class MiddleLayers:
    """Mean token states of `LAYERS`, each of unit length, side by side; called from several threads at once."""

    def __init__(self, model: Any, tokenizer: Any, pad: int) -> None:
        self.model, self.tokenizer, self.pad = model, tokenizer, pad

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """n × (384 for each layer), float32."""
        encoded = [one.ids for one in self.tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(texts)), key=lambda row: len(encoded[row]))
        parts = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
        width = len(LAYERS) * int(self.model.config.hidden_size)
        rows = np.zeros((len(texts), width), np.float32)
        for part in parts:
            rows[part] = self._states([encoded[row] for row in part])
        return rows

    def _states(self, encoded: list[list[int]]) -> np.ndarray:
        import torch

        width = max(len(row) for row in encoded)
        ids = np.full((len(encoded), width), self.pad, np.int64)
        mask = np.zeros((len(encoded), width), np.int64)
        for at, row in enumerate(encoded):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        with torch.inference_mode():
            attention = torch.from_numpy(mask)
            states = self.model(torch.from_numpy(ids), attention, output_hidden_states=True).hidden_states
            weights = attention.unsqueeze(-1).float()
            means = [(states[layer].float() * weights).sum(1) / weights.sum(1) for layer in LAYERS]
            units = [mean / mean.norm(dim=1, keepdim=True) for mean in means]
            return torch.cat(units, 1).numpy()


@cache
def load_middle_layers() -> MiddleLayers:
    """The lower layers of MiniLM, whatever encoder the twin itself uses. Raises ModelError if it cannot be had."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = find_folder(MINILM)
    dtype = torch.bfloat16 if choose_precision("auto") == "bf16" else torch.float32
    model = AutoModel.from_pretrained(folder, dtype=dtype).eval()
    model.encoder.layer = model.encoder.layer[: max(LAYERS)]
    model.pooler = None
    if dtype == torch.bfloat16:
        use_few_sizes(model)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return MiddleLayers(model, tokenizer, int(read_json(folder / "config.json").get("pad_token_id") or 0))
