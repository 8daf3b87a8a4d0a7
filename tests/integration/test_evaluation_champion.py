"""Another champion alone makes a cached step look again, on real kfp.local with a real registry."""

from pathlib import Path

import pytest
from kfp import dsl

from components.evaluation.find_champion import find_champion
from llm_twin.digests import digest_path
from llm_twin.evaluation.champion import NOBODY
from llm_twin.settings import RegistrySettings
from llm_twin.training.registry import promote, register_model
from pipelines.local_run import run_local
from tests.integration.tiny_pipeline import print_event

pytestmark = pytest.mark.deep  # MLflow is imported in each run


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def make_adapter(adapter: dsl.Output[dsl.Model]):
    """The challenger's adapter."""
    from pathlib import Path

    from llm_twin.artifacts import seal

    Path(adapter.path).mkdir(parents=True)
    (Path(adapter.path) / "adapter.txt").write_text("challenger")
    seal(adapter)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def compare(champion_digest: str) -> str:
    """Stands for the steps that compare with the champion."""
    return champion_digest


@dsl.pipeline(name="gate")
def gate(author: dict) -> str:
    made = make_adapter()
    champion = find_champion(author=author, adapter=made.outputs["adapter"])
    champion.set_caching_options(False)
    return compare(champion_digest=champion.output).output


def test_another_champion_alone_makes_the_gate_look_again(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("LLM_TWIN_HOME", str(home))
    uri = RegistrySettings().resolve(home)

    def run():
        author, log = {"author": {"id": "a-b"}}, home / "logs" / "run.log"
        result = run_local(gate, author, home / "artifacts", home / "cache", log, print_event)
        return result.outputs["Output"], {step.name: step.status for step in result.steps}["compare"]

    def register(text):
        folder = tmp_path / text
        folder.mkdir()
        (folder / "adapter.txt").write_text(text)
        made = register_model(uri, "a-b", "adapter", folder, str(tmp_path / "exports"), {}, {})
        promote(uri, made.name, made.version)
        return folder

    assert run() == (NOBODY, "ran"), "there is no champion"
    register("challenger")
    assert run() == (NOBODY, "cached"), "the challenger has become champion: nothing new"
    other: Path = register("rollback")
    assert run() == (digest_path(other), "ran")
    assert run() == (digest_path(other), "cached")
