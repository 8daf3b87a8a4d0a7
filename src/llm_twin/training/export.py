"""Exports that transformers 4.57 (TGI, older vLLM) loads too.

transformers 5 writes names that 4.x does not know: a tokenizer class `TokenizersBackend`, extra special tokens as
a list, and `rope_parameters`, which 4.x silently ignores, so that a model with another rope base would run wrong.
Both spellings are written; each version reads its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def make_loadable_by_transformers_4(folder: Path) -> None:
    """Rewrite `config.json` and `tokenizer_config.json` of `folder` so that transformers 4.57 reads them rightly."""
    _rewrite(folder / "config.json", _downgrade_config)
    _rewrite(folder / "tokenizer_config.json", _downgrade_tokenizer)


def make_readable(folder: Path) -> None:
    """Give the weights in `folder` the mode that its other files have.

    safetensors writes through a temporary file that its owner alone may read; a server runs as another user.
    """
    pattern = next(path for path in sorted(folder.iterdir()) if path.suffix == ".json")
    for weights in folder.glob("*.safetensors"):
        shutil.copymode(pattern, weights)


def _rewrite(path: Path, change: Any) -> None:
    if not path.is_file():
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _downgrade_config(config: dict[str, Any]) -> None:
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
        scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
        config["rope_scaling"] = None if scaling.get("rope_type", "default") == "default" else scaling
    if "dtype" in config:
        config["torch_dtype"] = config["dtype"]


def _downgrade_tokenizer(config: dict[str, Any]) -> None:
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    extra = config.get("extra_special_tokens")
    if isinstance(extra, list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    config.pop("backend", None)
    config.pop("is_local", None)
    config.pop("local_files_only", None)
