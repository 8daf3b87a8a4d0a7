"""Where many authors' training stands, read from a real MLflow: what failed, what it cost, who is champion."""

from __future__ import annotations

from llm_twin.training.states import known_authors, read_states, render_states, summarise_states
from llm_twin.training.tracking import track_run


def begin(uri, tmp_path, author, step, name):
    return track_run(uri, step, tmp_path / name, {"author": author, "step": step})


def test_state_cost_and_champion_of_each_author(tmp_path):
    from llm_twin.training import registry

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    for step, metric, value in (("sft", "validation_loss", 3.5), ("dpo", "heldout_reward_accuracy", 0.75)):
        run = begin(uri, tmp_path, "wren", step, f"wren-{step}")
        run.client.log_metric(run.run_id, f"final.{metric}", value)
        run.client.set_terminated(run.run_id, end_time=run.client.get_run(run.run_id).info.start_time + 1800_000)
    rook = begin(uri, tmp_path, "<b>rook</b>", "sft", "rook")
    started = rook.client.get_run(rook.run_id).info.start_time
    rook.client.set_terminated(rook.run_id, status="FAILED", end_time=started)
    begin(uri, tmp_path, "jay", "sft", "jay")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    made = registry.register_model(uri, "wren", "adapter", tmp_path / "adapter", str(tmp_path / "exports"), {}, {})
    registry.promote(uri, made.name, made.version)

    old = begin(uri, tmp_path, "robin", "dpo", "robin-old")
    old.client.set_terminated(old.run_id)
    begin(uri, tmp_path, "robin", "sft", "robin-new").pause()

    authors = ["wren", "<b>rook</b>", "jay", "crow", "robin"]
    wren, rook, jay, crow, robin = read_states(uri, authors, cost_per_hour=4.0)
    assert (wren.state, wren.steps) == ("finished", {"sft": "finished", "dpo": "finished"})
    assert wren.seconds == 3600 and wren.cost == 4.0
    assert (wren.validation_loss, wren.reward_accuracy) == (3.5, 0.75)
    assert wren.champion == "wren-adapter version 1"
    assert rook.state == "failed" and jay.state == "running" and crow.state == "never trained"
    assert crow.seconds == 0 and crow.begun == "" and crow.champion == ""
    assert robin.steps == {"sft": "failed"}, "a DPO run of an earlier SFT says nothing of this one"
    assert known_authors(uri) == sorted(set(authors) - {"crow"})
    assert summarise_states([wren, rook, crow]) == (
        "3 authors: 1 finished, 1 failed, 1 never trained; 3,600 s of training, cost 4.00"
    )
    assert wren.line() == "wren: finished, 3600 s of training, cost 4.00, champion wren-adapter version 1"
    page = render_states([wren, rook, jay, crow])
    assert "&lt;b&gt;rook" in page and "<b>rook" not in page
    assert all(word in page for word in ("finished", "failed", "running", "never trained", "4.00"))
