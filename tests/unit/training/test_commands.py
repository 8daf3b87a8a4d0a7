"""`twin train`, `twin models`, `twin plan` and `twin export`, as a person types them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

from llm_twin import cli
from llm_twin.errors import InputError

QUANTIZE_PYTHON = os.environ.get("LLM_TWIN_QUANTIZE_PYTHON", "")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def twin(home, monkeypatch):
    """Run `twin ARGUMENTS` in this process over `home`; returns what it printed, raises what it raised."""
    for name in ("LLM_TWIN_MLFLOW_TRACKING_URI", "LLM_TWIN_QUANTIZE_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LLM_TWIN_HOME", str(home))
    if not cli.app.registered_commands:
        cli.register_commands()

    def run(*arguments: object, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    return run


@pytest.fixture(scope="module")
def recipe(home, tiny_recipe) -> Path:
    path = home / "recipe.yaml"
    training = tiny_recipe.model_dump(mode="json") | {"sft_epochs": 0.5, "dpo_epochs": 0.25}
    path.write_text(yaml.safe_dump({"name": "tiny", "author": {"id": "wren", "name": "Wren"}, "training": training}))
    return path


@pytest.fixture
def trained(twin, home, recipe, tiny_samples) -> Path:
    """Base, SFT, DPO and merged model as `twin train` leaves them; made by the first test that asks."""
    out = home / "trained"
    if not (out / "merged").is_dir():
        printed = twin("train", "--samples", tiny_samples, "--recipe", recipe, "--out", out)
        assert "validation_loss" in printed and "heldout_reward_accuracy" in printed
    return out


def test_train_checks_trains_and_goes_on_where_it_was(twin, trained, recipe, tiny_samples):
    printed = twin("train", "--samples", tiny_samples, "--recipe", recipe, "--out", trained, "--dry-run")
    assert "template and tokenizer agree" in printed
    before = (trained / "dpo" / "adapter_model.safetensors").stat().st_mtime_ns
    again = twin("train", "--samples", tiny_samples, "--recipe", recipe, "--out", trained)
    assert "merged" in again and "[progress] SFT:" not in again, "what is there is not trained again"
    assert (trained / "dpo" / "adapter_model.safetensors").stat().st_mtime_ns == before
    assert "<svg" in (trained / "sft.html").read_text()
    with pytest.raises(InputError, match="no such samples folder"):
        twin("train", "--samples", trained / "nowhere", "--recipe", recipe)


def test_reproduce_says_that_it_is_the_same_and_what_is_not(twin, home, trained):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("llm-twin-training")
    runs = {run.data.tags["step"]: run for run in client.search_runs([experiment.experiment_id])}
    assert re.search(r"weights: \w+ then, \w+ now: the same", twin("train", "--reproduce", runs["dpo"].info.run_id))
    with pytest.raises(InputError, match="no finished training run"):
        twin("train", "--reproduce", "0" * 32)
    adapter = trained / "sft" / "training.json"
    kept = adapter.read_text()
    adapter.write_text(kept + " ")
    try:
        with pytest.raises(InputError, match="input adapter has changed"):
            twin("train", "--reproduce", runs["dpo"].info.run_id)
    finally:
        adapter.write_text(kept)


def test_models_lists_compares_promotes_and_tells_the_lineage(twin, home, trained):
    from llm_twin.training import registry

    assert "no models are registered yet" in twin("models")
    uri, exports = f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", str(home / "exports")
    for step, perplexity in (("sft", 40.0), ("dpo", 41.5)):
        registry.register_model(
            uri, "wren", "adapter", trained / step, exports, {"base_model": "seedling"}, {"perplexity": perplexity}
        )
    listed = twin("models").splitlines()
    assert len(listed) == 2 and all(line.startswith("wren-adapter ") and "file://" in line for line in listed)
    assert "wren-adapter version 1 is now the champion" in twin("models", "--promote", "wren-adapter@1")
    assert "champion" in next(line for line in twin("models", "--author", "wren").splitlines() if "  1  " in line)
    compared = twin("models", "--compare", "wren-adapter@1", "--compare", "wren-adapter@2")
    assert re.search(r"perplexity +40 +41.5", compared)
    assert re.search(r"^wren: finished, \d+ s of training, cost ", twin("models", "--states", "--cost-per-hour", 9000))
    lineage = twin("models", "--lineage", "wren-adapter@champion")
    assert "base_model: seedling" in lineage and "perplexity: 40" in lineage
    with pytest.raises(InputError, match="wants two models, got 1"):
        twin("models", "--compare", "wren-adapter@1")


def test_plan_counts_the_real_heads_and_plans_replicas(twin):
    printed = twin("plan", "Llama-3.1-8B")
    assert "key-value cache of 2,048 tokens, 16 bit: 0.25 GiB (with all attention heads it would be 1 GiB)" in printed
    for topic in ("quantization", "batching", "parallelism", "speculative decoding", "engine"):
        assert f"\n{topic}: " in printed
    assert re.search(r"qlora.* \d+\.\d GiB", printed)
    assert re.search(r"replicas +\d+", twin("plan", "--rps", 20, "--gpu", "l4"))
    with pytest.raises(InputError, match="no model named"):
        twin("plan")


def test_export_writes_gguf_of_each_precision(twin, trained, tmp_path):
    import gguf

    sizes = []
    for precision in ("f16", "q8_0", "q4_0"):
        file = tmp_path / f"{precision}.gguf"
        printed = twin("export", file, "--model", trained / "merged", "--precision", precision)
        assert f"wrote {file}" in printed.replace("\n", "")
        assert len(gguf.GGUFReader(file).tensors) >= 20
        sizes.append(file.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


def test_export_in_8_bit_loads_and_says_nearly_the_same(twin, trained, tmp_path):
    import torch

    from llm_twin.training.base import load_model, load_tokenizer

    out = tmp_path / "int8"
    assert "bytes before" in twin("export", out, "--to", "int8", "--model", trained / "merged")
    config = json.loads((out / "config.json").read_text())
    assert config["quantization_config"]["load_in_8bit"] is True
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in out.iterdir()), "a server of another user reads it"
    ids = load_tokenizer(out)("My kettles want a little.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        whole, eight = (load_model(folder)(ids).logits for folder in (trained / "merged", out))
    assert torch.nn.functional.cosine_similarity(whole.flatten(), eight.float().flatten(), dim=0) > 0.99


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bits", [4, 8])
def test_export_writes_gptq_of_each_width(bits, twin, trained, tiny_samples, tmp_path, monkeypatch):
    if not QUANTIZE_PYTHON:
        pytest.skip("LLM_TWIN_QUANTIZE_PYTHON names no interpreter")
    monkeypatch.setenv("LLM_TWIN_QUANTIZE_PYTHON", QUANTIZE_PYTHON)
    out = tmp_path / "gptq"
    options = ("--bits", bits, "--group-size", 32, "--model", trained / "merged", "--samples", tiny_samples)
    assert "size ratio" in twin("export", out, "--to", "gptq", *options)
    config = json.loads((out / "quantize_config.json").read_text())
    assert (config["bits"], config["group_size"], config["checkpoint_format"]) == (bits, 32, "gptq")
    with safe_open(out / "model.safetensors", framework="pt") as weights:
        shape = weights.get_slice("model.layers.0.mlp.down_proj.qweight").get_shape()
    assert shape == [64 * bits // 32, 32], "rows of 32-bit words that hold the input's 64 weights"


def test_export_says_what_it_lacks(twin, trained, tmp_path):
    with pytest.raises(InputError, match="holds no model"):
        twin("export", tmp_path / "x.gguf", "--model", tmp_path)
    with pytest.raises(InputError, match="GPTQ of 5 bit is not offered"):
        twin("export", tmp_path / "x", "--to", "gptq", "--bits", 5, "--model", trained / "merged", "--samples", ".")
    with pytest.raises(InputError, match="calibrates on the author's text") as caught:
        twin("export", tmp_path / "x", "--to", "gptq", "--model", trained / "merged")
    assert "--samples" in caught.value.remedy
