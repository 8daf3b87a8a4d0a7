import json
from datetime import datetime

import pytest

from llm_twin.digests import digest_json
from llm_twin.errors import InputError
from llm_twin.evaluation.champion import NOBODY, find_champion, name_champion
from llm_twin.evaluation.mlflow_log import champion_measures, latest_run
from llm_twin.evaluation.perplexity import Perplexity
from llm_twin.evaluation.promotion import decide
from llm_twin.evaluation.release import register_release
from llm_twin.evaluation.scores import Scores
from llm_twin.recipe_parts import GateRecipe, GateRule
from llm_twin.training.registry import demote, find_model, promote, read_lineage
from tests.unit.operations.object_server import Store, serve


def test_a_release_is_registered_once_and_is_champion(uri, tiny, samples, tmp_path):
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


RULE = GateRule(measure="faithfulness", must="be_no_worse", than="champion", margin=0.05)
ENFORCE = GateRecipe(mode="enforce", rules=[RULE])


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One database for all: making one takes MLflow seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class Releases:
    """Releases of an author whom no other test has."""

    def __init__(self, uri, author, folders, exports):
        self.uri, self.author, self.folders, self.exports = uri, author, folders, exports

    def release(self, adapter, faithfulness, exports=""):
        """Register an adapter (sft or dpo) whose answers have some faithfulness."""
        scores = Scores(author=self.author, index="i", candidates=["dpo"], samples=12)
        scores.measures = {"faithfulness": {"dpo": {f"q{n}": faithfulness + n % 2 / 50 for n in range(30)}}}
        given = self.folders | {"adapter": self.folders["base"].parent / adapter}
        made = register_release(self.uri, exports or self.exports, self.author, given, scores, {}, ENFORCE)
        return json.loads(made)

    def version(self, alias="champion"):
        return find_model(self.uri, f"{self.author}-adapter", alias).version

    def recorded(self):
        """Tags and decisions of the newest evaluation's run."""
        from mlflow.artifacts import list_artifacts, load_dict
        from mlflow.tracking import MlflowClient

        run = MlflowClient(tracking_uri=self.uri).get_run(latest_run(self.uri, self.author))
        where = f"{run.info.artifact_uri}/decisions"
        files = sorted(file.path.split("/")[-1] for file in list_artifacts(where))
        return run.data.tags, [load_dict(f"{where}/{name}") for name in files]


@pytest.fixture
def releases(uri, tiny, samples, tmp_path):
    folders = {"base": tiny / "base", "quantized": tiny / "base", "samples": samples}
    return Releases(uri, f"a-{digest_json(str(tmp_path))[:8]}", folders, str(tmp_path / "exports"))


def test_an_enforced_gate_keeps_the_champion_and_the_run_says_what_it_decided_and_why(releases):
    assert releases.release("sft", 0.8)["alias"] == "champion"
    assert releases.recorded()[0]["gate"] == "promoted"
    refused = releases.release("dpo", 0.6)
    assert refused["alias"] == "challenger" and "faithfulness" in refused["gate"]["reasons"][0]
    assert releases.version("champion") == "1"
    assert releases.version("challenger") == "2"
    assert releases.release("dpo", 0.6) == refused
    tags, decisions = releases.recorded()
    assert tags["gate"] == "refused" and tags["gate_mode"] == "enforce" and "faithfulness" in tags["gate_reasons"]
    assert "champion_since" not in tags and len(decisions) == 1, "the same decision is recorded once"
    assert decisions[0]["evidence"][0]["rule"]["than"] == "champion" and decisions[0]["promote"] is False
    assert releases.release("dpo", 0.79)["alias"] == "champion"
    assert releases.version("champion") == "2"


def test_a_persons_override_is_recorded_with_name_and_reason_and_moves_the_champion(releases):
    releases.release("sft", 0.8)
    releases.release("dpo", 0.6)
    with pytest.raises(InputError, match="needs a name and a reason"):
        decide(releases.uri, releases.author, ENFORCE, override=True, by="R. Keane")
    assert releases.version("champion") == "1"
    turned = decide(releases.uri, releases.author, ENFORCE, override=True, by="R. Keane", reason="demo on Friday")
    assert turned.promote and releases.version("champion") == "2"
    tags, decisions = releases.recorded()
    assert (tags["gate"], tags["overridden_by"], tags["override_reason"]) == ("promoted", "R. Keane", "demo on Friday")
    assert datetime.fromisoformat(tags["champion_since"]) and "faithfulness" in tags["gate_reasons"]
    assert [one["override"] is None for one in decisions] == [True, False]
    with pytest.raises(InputError, match="no evaluation of nobody"):
        decide(releases.uri, "nobody", ENFORCE)


def test_a_person_who_refuses_what_was_promoted_gives_the_alias_back_to_the_champion_before(releases):
    releases.release("sft", 0.8)
    releases.release("dpo", 0.9)
    assert releases.version("champion") == "2"
    turned = decide(releases.uri, releases.author, ENFORCE, override=True, by="R. Keane", reason="it swears")
    assert not turned.promote and releases.version("champion") == "1"
    tags, _ = releases.recorded()
    assert tags["gate"] == "refused" and "champion_since" not in tags
    assert champion_measures(releases.uri, releases.author)["faithfulness"]["dpo"]["q0"] == 0.8
    promote(releases.uri, f"{releases.author}-adapter", "1")
    assert demote(releases.uri, f"{releases.author}-adapter", "2") == "1", "one that is not champion is left alone"
    assert demote(releases.uri, f"{releases.author}-adapter", "1") == ""
    with pytest.raises(InputError, match="'champion'"):
        releases.version("champion")


def test_another_champion_is_named_and_the_candidate_itself_or_none_is_not(releases, tiny):
    assert name_champion(releases.uri, releases.author, tiny / "sft") == NOBODY
    releases.release("sft", 0.8)
    assert name_champion(releases.uri, releases.author, tiny / "sft") == NOBODY, (
        "a run with nothing changed stays cached"
    )
    other = name_champion(releases.uri, releases.author, tiny / "dpo")
    assert other == find_model(releases.uri, f"{releases.author}-adapter").digest != NOBODY
    releases.release("dpo", 0.9)
    promote(releases.uri, f"{releases.author}-adapter", "1")
    assert name_champion(releases.uri, releases.author, tiny / "dpo") == other


def test_a_champion_in_an_object_store_is_fetched_once_and_a_lost_one_is_a_note(releases, tiny, tmp_path, monkeypatch):
    store = Store()
    with serve(store) as address:
        for name, value in {"MLFLOW_S3_ENDPOINT_URL": address, "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "k",
                            "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-west-1"}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        store.buckets["models"] = {}
        releases.release("sft", 0.8, "s3://models/exports")
        assert any(key.endswith("adapter_model.safetensors") for key in store.buckets["models"])
        cache = tmp_path / "cache"
        found = find_champion(releases.uri, releases.author, tiny / "base", tiny / "dpo", cache)
        weights = (found.adapter / "adapter_model.safetensors").read_bytes()
        assert weights == (tiny / "sft" / "adapter_model.safetensors").read_bytes()
        store.buckets["models"].clear()
        assert find_champion(releases.uri, releases.author, tiny / "base", tiny / "dpo", cache) == found
        lost = find_champion(releases.uri, releases.author, tiny / "base", tiny / "dpo", tmp_path / "elsewhere")
        assert lost.adapter is None and "could not be asked" in lost.note
        assert not (tmp_path / "elsewhere" / find_model(releases.uri, f"{releases.author}-adapter").digest).exists()
