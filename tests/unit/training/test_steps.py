"""SFT and DPO as steps: MLflow run, report, merge, and the same again from the record."""

from __future__ import annotations

import json

import pytest

from llm_twin.errors import InputError
from llm_twin.training import steps
from llm_twin.training.merge import merge_adapter
from llm_twin.training.reproduce import reproduce_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_base, tiny_samples, tiny_recipe):
    """SFT and DPO of the tiny base, tracked in MLflow on SQLite."""
    root = tmp_path_factory.mktemp("trained")
    recipe = tiny_recipe.model_copy(update={"dpo_sft_weight": 0.2})
    uri = f"sqlite:///{root / 'mlflow.db'}"
    common = (root / "state", uri)
    sft = steps.run_sft(tiny_base, tiny_samples, recipe, root / "sft", root / "sft.html", *common)
    dpo = steps.run_dpo(tiny_base, root / "sft", tiny_samples, recipe, root / "dpo", root / "dpo.html", *common)
    return root, uri, sft, dpo


def runs_of(uri: str, step: str):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("llm-twin-training")
    return client, client.search_runs([experiment.experiment_id], f"tags.step = '{step}'")


def test_dpo_tells_held_out_pairs_apart_and_keeps_one_adapter(trained):
    root, _, _, dpo = trained
    figures = dpo.figures
    assert figures["heldout_reward_accuracy"] > 0.6
    assert figures["heldout_reward_accuracy_low"] <= figures["heldout_reward_accuracy"]
    assert not (root / "dpo" / "ref").exists()  # the reference is not written out
    assert (root / "dpo" / "adapter_model.safetensors").read_bytes() != (
        root / "sft" / "adapter_model.safetensors"
    ).read_bytes()


def test_the_run_is_in_mlflow_and_its_checkpoints_are_gone(trained):
    root, uri, sft, _ = trained
    client, runs = runs_of(uri, "sft")
    (run,) = runs
    assert run.info.status == "FINISHED" and run.data.tags["seed"] == "20"
    assert run.data.metrics["final.validation_loss"] == pytest.approx(sft.figures["validation_loss"])
    assert len(client.get_metric_history(run.info.run_id, "loss")) == sft.figures["steps"]
    assert not any((root / "state").iterdir())


def test_the_report_shows_curves_texts_and_verdict_and_escapes_them(trained):
    root, *_ = trained
    page = (root / "dpo.html").read_text()
    assert page.count("<svg") == 5 and "Reward margin" in page and "Stability" in page
    assert "<|end|>" not in page


def test_the_same_again_from_the_record(trained):
    root, uri, *_ = trained
    _, (run,) = runs_of(uri, "sft")
    outcome = reproduce_run(uri, run.info.run_id, root / "state")
    assert outcome.same and outcome.lines[-1].endswith("the same")
    with pytest.raises(InputError, match="no finished training run"):
        reproduce_run(uri, "0" * 32, root / "state")


def test_the_merged_model_says_what_base_and_adapter_say(trained, tiny_base):
    import torch
    from peft import PeftModel

    from llm_twin.training.base import load_model, load_tokenizer

    root, *_ = trained
    merge_adapter(tiny_base, root / "dpo", root / "merged")
    ids = load_tokenizer(root / "merged")("My kettles want a little.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        apart = PeftModel.from_pretrained(load_model(tiny_base), root / "dpo")(ids).logits
        merged = load_model(root / "merged")(ids).logits
    assert torch.allclose(apart, merged, atol=1e-4)
    record = json.loads((root / "dpo" / "training.json").read_text())
    assert set(record["inputs"]) == {"adapter", "base", "samples"} and record["versions"]["trl"]
