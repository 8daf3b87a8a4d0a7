"""Encoders that run here: a transformer with mean or CLS pooling, or anything sentence-transformers loads."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llm_twin.embedding.cache import EmbeddingCache
from llm_twin.embedding.encoder import Embed, Encoder, Plan, Prepare
from llm_twin.embedding.fused import fuse
from llm_twin.embedding.precision import choose_precision
from llm_twin.embedding.sizes import BATCH_ROWS, pack, use_few_sizes
from llm_twin.errors import ModelError

ROWS_A_TEXT = 128  # what a batch of the fused layers holds for each text of batch_size
SIMPLE = {"Transformer", "Pooling", "Normalize"}


def load_local(
    name: str, folder: Path, tokenizer: Any, cache: EmbeddingCache | None, precision: str, batch_size: int
) -> Encoder:
    """An encoder of the model in `folder`. Raises ModelError if it cannot be loaded."""
    from llm_twin.embedding.loading import fingerprint_folder, read_json, read_longest, read_prompts

    prompts = read_prompts(folder)
    shared = {
        "name": name,
        "fingerprint": fingerprint_folder(folder),
        "tokenizer": tokenizer,
        "batch_size": batch_size,
        "query_prompt": prompts["query"],
        "passage_prompt": prompts["passage"],
        "cache": cache,
    }
    modules = [module["type"].rsplit(".", 1)[-1] for module in read_json(folder / "modules.json") or []]
    pooling = _pooling(folder)
    try:
        if set(modules) <= SIMPLE and pooling:
            chosen = choose_precision(precision)
            longest = read_longest(folder)
            prepare, embed, plan, dimension = _load_transformer(folder, longest, pooling, chosen, batch_size)
            return Encoder(
                **shared, dimension=dimension, max_tokens=longest, embed=embed, precision=chosen, prepare=prepare,
                plan=plan,
            )  # fmt: skip
        return _load_sentence_transformer(folder, shared)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"cannot load the embedder {name}: {reason}", "check the model's files") from error


def _pooling(folder: Path) -> str:
    """Mean or cls; empty for what only sentence-transformers does."""
    from llm_twin.embedding.loading import read_json

    config = read_json(folder / "1_Pooling" / "config.json")
    modes = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if not config:
        return "mean"
    return known.get(next(iter(modes)), "") if len(modes) == 1 else ""


def _load_transformer(
    folder: Path, longest: int, pooling: str, precision: str, batch_size: int
) -> tuple[Prepare, Embed, Plan | None, int]:
    """The model through transformers: it imports in a fifth of sentence-transformers' time."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = AutoModel.from_pretrained(folder, dtype=dtype).eval().to(device)
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    pad = int(model.config.pad_token_id or 0)
    fused = None
    if precision == "bf16" and device == "cpu":
        use_few_sizes(model)
        fused = fuse(model)

    def prepare(texts: list[str]) -> list[Any]:
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]

    def embed(rows: list[Any]) -> np.ndarray:
        with torch.inference_mode():
            if fused is not None:
                parts = fused(rows).float().split([len(row) for row in rows])
                pooled = torch.stack([part[0] if pooling == "cls" else part.mean(0) for part in parts])
                vectors: np.ndarray = pooled.numpy()
                for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)):
                    vectors[row] = run_modules([rows[row]])[0]
                return vectors
            return run_modules(rows)

    def run_modules(rows: list[Any]) -> np.ndarray:
        width = max(len(row) for row in rows)
        ids = np.full((len(rows), width), pad, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        tokens, attention = torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
        hidden = model(input_ids=tokens, attention_mask=attention).last_hidden_state
        if pooling == "cls":
            pooled = hidden[:, 0].float()
        else:
            weights = attention.unsqueeze(-1).float()
            pooled = (hidden.float() * weights).sum(1) / weights.sum(1)
        return pooled.cpu().numpy()

    plan = partial(pack, capacity=min(BATCH_ROWS, ROWS_A_TEXT * batch_size)) if fused is not None else None
    return prepare, embed, plan, int(model.config.hidden_size)


def _load_sentence_transformer(folder: Path, shared: dict[str, Any]) -> Encoder:
    """Models with other modules than transformer and pooling."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder))

    def embed(texts: list[str]) -> np.ndarray:
        return np.asarray(model.encode(texts, batch_size=len(texts), show_progress_bar=False), np.float32)

    return Encoder(
        **shared,
        dimension=int(model.get_sentence_embedding_dimension() or 0),
        max_tokens=int(model.max_seq_length or 512),
        embed=embed,
    )
