"""A recipe's engine settings reach the engines' arguments and the manifests that hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from llm_twin.cli import app, register_commands
from llm_twin.errors import InputError
from llm_twin.recipe_serving import EngineRecipe
from llm_twin.serving.engine import engine_arguments, render_engine_patch

ROOT = Path(__file__).parents[3]


def test_each_engine_gets_its_own_words():
    recipe = EngineRecipe(shards=4, quantization="marlin", kv_cache="fp8")
    assert engine_arguments(recipe, "tgi") == ["--num-shard=4", "--quantize=marlin", "--kv-cache-dtype=fp8_e4m3fn"]
    assert engine_arguments(recipe, "vllm") == [
        "--tensor-parallel-size=4", "--quantization=gptq_marlin", "--kv-cache-dtype=fp8",
    ]  # fmt: skip
    assert engine_arguments(EngineRecipe(), "tgi") == []
    with pytest.raises(InputError, match="no engine"):
        engine_arguments(recipe, "ollama")


@pytest.mark.parametrize("engine", ["tgi", "vllm"])
def test_the_patch_fits_the_manifest(engine):
    runtime = yaml.safe_load((ROOT / f"manifests/serving-runtimes/{engine}.yaml").read_text())
    container = runtime["spec"]["containers"][0]
    for operation in yaml.safe_load(render_engine_patch(EngineRecipe(shards=2, quantization="gptq"), engine)):
        steps = operation["path"].strip("/").split("/")
        assert steps[:3] == ["spec", "containers", "0"]
        if operation["op"] == "add":
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
