"""A recipe's engine settings reach the engines' arguments and the manifests that hold them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from llm_twin.cli import app, register_commands
from llm_twin.errors import InputError
from llm_twin.recipe_serving import EngineRecipe
from llm_twin.serving.engine import engine_arguments, engine_environment, render_engine_patch

ROOT = Path(__file__).parents[3]
ALL_OF_IT = {
    "shards": 2, "quantization": "gptq", "kv_cache": "fp8", "max_tokens": 8192, "speculative_tokens": 3,
    "prefix_caching": True, "max_lora_rank": 24, "max_loras": 4,
}  # fmt: skip
# The options that the launchers publish, TGI 3.3.7 and vLLM's serve command, as far as a recipe or a manifest may use
# them; `--no-…` is what Python's BooleanOptionalAction adds.
PUBLISHED = {
    "tgi": {
        "--model-id", "--port", "--max-input-tokens", "--max-total-tokens", "--max-concurrent-requests", "--num-shard",
        "--quantize", "--kv-cache-dtype", "--speculate", "--lora-adapters",
    },
    "vllm": {
        "--model", "--served-model-name", "--port", "--max-model-len", "--gpu-memory-utilization",
        "--tensor-parallel-size", "--quantization", "--kv-cache-dtype", "--speculative-config",
        "--enable-prefix-caching", "--no-enable-prefix-caching", "--enable-lora", "--lora-modules", "--max-lora-rank",
        "--max-loras",
    },
}  # fmt: skip


def test_each_engine_gets_its_own_words():
    recipe = EngineRecipe(shards=4, quantization="marlin", kv_cache="fp8")
    assert engine_arguments(recipe, "tgi") == ["--num-shard=4", "--quantize=marlin", "--kv-cache-dtype=fp8_e4m3fn"]
    assert engine_arguments(recipe, "vllm") == [
        "--tensor-parallel-size=4", "--quantization=gptq_marlin", "--kv-cache-dtype=fp8",
    ]  # fmt: skip
    assert engine_arguments(EngineRecipe(), "tgi") == []
    with pytest.raises(InputError, match="no engine"):
        engine_arguments(recipe, "ollama")


def test_length_guessing_prefixes_and_ranks_in_each_engines_words():
    recipe = EngineRecipe(**ALL_OF_IT)
    assert engine_arguments(recipe, "tgi")[3:] == [
        "--max-input-tokens=6144", "--max-total-tokens=8192", "--speculate=3",
    ]  # fmt: skip
    assert engine_environment(recipe, "tgi") == {"PREFIX_CACHING": "1"} and not engine_environment(recipe, "vllm")
    length, guessing, *rest = engine_arguments(recipe, "vllm")[3:]
    assert length == "--max-model-len=8192"
    assert rest == ["--enable-prefix-caching", "--max-lora-rank=32", "--max-loras=4"]
    option, _, value = guessing.partition("=")
    assert option == "--speculative-config"
    assert json.loads(value) == {"method": "ngram", "prompt_lookup_max": 4, "num_speculative_tokens": 3}
    drafted = EngineRecipe(speculative_tokens=5, draft_model="/mnt/models/draft", prefix_caching=False)
    guessing, caching = engine_arguments(drafted, "vllm")
    assert json.loads(guessing.partition("=")[2]) == {
        "method": "draft_model", "model": "/mnt/models/draft", "num_speculative_tokens": 5,
    }  # fmt: skip
    assert caching == "--no-enable-prefix-caching"
    with pytest.raises(InputError, match="no draft models"):
        engine_arguments(drafted, "tgi")
    with pytest.raises(ValueError, match="speculative_tokens"):
        EngineRecipe(draft_model="x")


@pytest.mark.parametrize("engine", ["tgi", "vllm"])
def test_every_option_is_one_that_the_engine_publishes(engine):
    runtime = yaml.safe_load((ROOT / f"manifests/serving-runtimes/{engine}.yaml").read_text())
    recipes = [EngineRecipe(**ALL_OF_IT), EngineRecipe(prefix_caching=False)]
    given = [argument for recipe in recipes for argument in engine_arguments(recipe, engine)]
    given += runtime["spec"]["containers"][0]["args"]
    assert {argument.split("=")[0] for argument in given} <= PUBLISHED[engine]


@pytest.mark.parametrize("engine", ["tgi", "vllm"])
def test_the_patch_fits_the_manifest(engine):
    runtime = yaml.safe_load((ROOT / f"manifests/serving-runtimes/{engine}.yaml").read_text())
    container = runtime["spec"]["containers"][0]
    for operation in yaml.safe_load(render_engine_patch(EngineRecipe(**ALL_OF_IT), engine)):
        steps = operation["path"].strip("/").split("/")
        assert steps[:3] == ["spec", "containers", "0"]
        if steps[3] == "env":
            assert steps[4] == "-" and operation["value"]["name"] not in {one["name"] for one in container["env"]}
        elif operation["op"] == "test":
            assert container["args"][int(steps[4])] == operation["value"]
        elif operation["op"] == "replace" and steps[3] == "args":
            assert container["args"][int(steps[4])].split("=")[0] == operation["value"].split("=")[0]
        elif operation["op"] == "add":
            assert steps[3:] == ["args", "-"] and operation["value"].startswith("--")
            assert not any(known.split("=")[0] == operation["value"].split("=")[0] for known in container["args"])
        else:
            assert container["resources"][steps[4]][steps[5].replace("~1", "/")] == "1" and operation["value"] == "2"


def test_the_command_reads_the_recipe_and_writes_the_patch(tmp_path):
    recipe = yaml.safe_load((ROOT / "pipelines/recipes/sample.yaml").read_text())
    recipe.setdefault("serving", {})["engine"] = {"shards": 2}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    register_commands()
    done = CliRunner().invoke(
        app, ["engine", str(tmp_path / "r.yaml"), "--engine", "vllm", "--out", str(tmp_path / "p.yaml")]
    )
    assert done.exit_code == 0, done.output
    assert "--tensor-parallel-size=2" in done.output and "tensor-parallel-size=2" in (tmp_path / "p.yaml").read_text()
