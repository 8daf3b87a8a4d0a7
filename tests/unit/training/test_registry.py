"""The registry on SQLite: registering twice changes nothing, aliases move, lineage and metrics are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_twin.errors import InputError
from llm_twin.training import registry


def adapter(folder: Path, content: bytes) -> Path:
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(content)
    return folder


def test_register_promote_compare_and_find(tmp_path):
    uri, exports = f"sqlite:///{tmp_path / 'mlflow.db'}", str(tmp_path / "exports")
    first, second = adapter(tmp_path / "one", b"one"), adapter(tmp_path / "two", b"two")
    lineage = {"base_model": "seedling", "samples_digest": "abc"}
    made = registry.register_model(uri, "wren", "adapter", first, exports, lineage, {"perplexity": 50.0})
    again = registry.register_model(uri, "wren", "adapter", first, exports, lineage, {"perplexity": 50.0})
    assert made == again and made.version == "1" and made.name == "wren-adapter"
    newer = registry.register_model(uri, "wren", "adapter", second, exports, lineage, {"perplexity": 40.0})
    assert newer.version == "2" and newer.uri != made.uri

    registry.promote(uri, "wren-adapter", "1")
    registry.promote(uri, "wren-adapter", "2", registry.CHALLENGER)
    assert registry.find_model(uri, "wren-adapter").digest == made.digest
    registry.promote(uri, "wren-adapter", "2")
    assert registry.find_model(uri, "wren-adapter").aliases == ("challenger", "champion")
    assert [model.version for model in registry.list_models(uri, "wren")] == ["2", "1"]
    assert registry.list_models(uri, "someone") == []

    folder = Path(newer.uri.removeprefix("file://"))
    assert (folder / "adapter_model.safetensors").read_bytes() == b"two"
    assert "perplexity: 40" in (folder / "README.md").read_text()
    known = registry.read_lineage(uri, "wren-adapter", "champion")
    assert known["lineage"]["samples_digest"] == "abc" and known["metrics"] == {"perplexity": 40.0}
    assert registry.compare_models(uri, "wren-adapter@1", "wren-adapter@2") == {"perplexity": (50.0, 40.0)}
    import mlflow

    mlflow.set_tracking_uri(uri)
    signature = mlflow.models.get_model_info("models:/wren-adapter@champion").signature
    assert signature.inputs.input_names() == ["messages"]
    with pytest.raises(InputError, match="no '9' of wren-adapter"):
        registry.find_model(uri, "wren-adapter", "9")
    with pytest.raises(InputError, match="no version 9"):
        registry.promote(uri, "wren-adapter", "9")
