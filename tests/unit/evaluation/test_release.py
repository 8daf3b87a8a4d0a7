import json

from llm_twin.evaluation.perplexity import Perplexity
from llm_twin.evaluation.release import register_release
from llm_twin.evaluation.scores import Scores
from llm_twin.recipe_parts import GateRecipe, GateRule
from llm_twin.training.registry import find_model, read_lineage


def test_a_release_is_registered_once_and_is_champion(tiny, samples, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    scores = Scores(author="a-b", index="i", candidates=["base", "dpo", "quantized"], samples=12)
    for name, value in (("base", 9.0), ("dpo", 3.0), ("quantized", 3.5)):
        scores.perplexity[name] = Perplexity(perplexity=value, bits_per_character=1, tokens=1, documents={"d": 1.0})
    folders = {"base": tiny / "base", "adapter": tiny / "dpo", "quantized": tiny / "base", "samples": samples}
    exports, advise = str(tmp_path / "exports"), GateRecipe()
    release = register_release(uri, exports, "a-b", folders, scores, {"seed": 1}, advise)
    assert register_release(uri, exports, "a-b", folders, scores, {"seed": 1}, advise) == release
    models = json.loads(release)["models"]
    for kind, figure in (("adapter", 3.0), ("quantized", 3.5)):
        found = find_model(uri, models[kind]["name"])
        assert (found.version, found.uri) == ("1", models[kind]["uri"])
        assert read_lineage(uri, found.name, "1")["metrics"]["perplexity"] == figure


def test_an_enforced_gate_keeps_the_champion(tiny, samples, tmp_path):
    uri, exports = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "exports")
    rule = GateRule(measure="faithfulness", must="be_no_worse", than="champion", margin=0.05)
    gate = GateRecipe(mode="enforce", rules=[rule])
    folders = {"base": tiny / "base", "adapter": tiny / "sft", "quantized": tiny / "base", "samples": samples}

    def release(adapter, faithfulness):
        scores = Scores(author="a-b", index="i", candidates=["dpo"], samples=12)
        scores.measures = {"faithfulness": {"dpo": {f"q{n}": faithfulness + n % 2 / 50 for n in range(30)}}}
        given = folders | {"adapter": tiny / adapter}
        return json.loads(register_release(uri, exports, "a-b", given, scores, {}, gate))

    assert release("sft", 0.8)["alias"] == "champion"
    refused = release("dpo", 0.6)
    assert refused["alias"] == "challenger" and "faithfulness" in refused["gate"]["reasons"][0]
    assert find_model(uri, "a-b-adapter", "champion").version == "1"
    assert find_model(uri, "a-b-adapter", "challenger").version == "2"
    assert release("dpo", 0.79)["alias"] == "champion"
    assert find_model(uri, "a-b-adapter", "champion").version == "2"
