"""Encoders behind HTTP: OpenAI-compatible `/embeddings`, or Text Embeddings Inference's `/embed`."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np

from llm_twin.digests import digest_bytes
from llm_twin.embedding.cache import EmbeddingCache
from llm_twin.embedding.encoder import Encoder
from llm_twin.errors import InputError, ModelError

TIMEOUT_SECONDS = 60.0
ATTEMPTS = 3


def load_endpoint(name: str, tokenizer: Any, cache: EmbeddingCache | None, batch_size: int, api_key: str) -> Encoder:
    """An encoder that asks `https://host/v1#model` (OpenAI) or `tei+http://host:port`; asks once for the dimension."""
    is_tei = name.startswith("tei+")
    base, _, model = name.removeprefix("tei+").partition("#")
    if not is_tei and not model:
        raise InputError(f"the embedder {name} names no model", "write it as https://host/v1#model")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    client = httpx.Client(base_url=base.rstrip("/") + "/", headers=headers, timeout=TIMEOUT_SECONDS)

    def embed(texts: list[str]) -> np.ndarray:
        if is_tei:
            rows = _post(client, "embed", {"inputs": texts, "truncate": True})
        else:
            data = _post(client, "embeddings", {"model": model, "input": texts, "encoding_format": "float"})["data"]
            rows = [item["embedding"] for item in sorted(data, key=lambda item: item["index"])]
        if len(rows) != len(texts):
            raise ModelError(f"{base} gave {len(rows)} vectors for {len(texts)} texts", "check the endpoint")
        return np.asarray(rows, np.float32)

    dimension = int(embed(["dimension"]).shape[1])
    fingerprint = digest_bytes(f"{base}#{model}#{dimension}".encode())[:16]
    return Encoder(name, fingerprint, dimension, 512, tokenizer, embed, "remote", batch_size, cache=cache)


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """POST with retries for a connection lost or a busy server. Raises ModelError with the reason."""
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            response = client.post(path, json=body)
        except httpx.TransportError as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        if response.status_code == 200:
            return response.json()
        reason = f"HTTP {response.status_code}: {response.text[:200]}"
        if response.status_code not in (429, 500, 502, 503, 504):
            break
    raise ModelError(f"the embedding endpoint {client.base_url} failed: {reason}", "check its address, key and model")
