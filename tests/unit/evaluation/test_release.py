import json

from llm_twin.evaluation.perplexity import Perplexity
from llm_twin.evaluation.release import register_release
from llm_twin.evaluation.scores import Scores
from llm_twin.training.registry import find_model, read_lineage


def test_a_release_is_registered_once_and_is_champion(tiny, samples, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    scores = Scores(author="a-b", index="i", candidates=["base", "dpo", "quantized"], samples=12)
    for name, value in (("base", 9.0), ("dpo", 3.0), ("quantized", 3.5)):
        scores.perplexity[name] = Perplexity(perplexity=value, bits_per_character=1, tokens=1, documents={"d": 1.0})
    folders = {"base": tiny / "base", "adapter": tiny / "dpo", "quantized": tiny / "base", "samples": samples}
    release = register_release(uri, str(tmp_path / "exports"), "a-b", folders, scores, {"seed": 1})
    assert register_release(uri, str(tmp_path / "exports"), "a-b", folders, scores, {"seed": 1}) == release
    models = json.loads(release)["models"]
    for kind, figure in (("adapter", 3.0), ("quantized", 3.5)):
        found = find_model(uri, models[kind]["name"])
        assert (found.version, found.uri) == ("1", models[kind]["uri"])
        assert read_lineage(uri, found.name, "1")["metrics"]["perplexity"] == figure
