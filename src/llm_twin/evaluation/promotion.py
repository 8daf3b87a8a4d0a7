"""Deciding again on what is registered: the newest evaluation, the gate's rules, and a person's override."""

from __future__ import annotations

from datetime import UTC, datetime

from llm_twin.errors import InputError
from llm_twin.evaluation.gate import Decision, judge_promotion, override_decision
from llm_twin.evaluation.mlflow_log import champion_measures, latest_run, latest_scores, record_decision
from llm_twin.recipes import GateRecipe
from llm_twin.training.registry import CHALLENGER, CHAMPION, demote, find_model, model_name, promote


def decide(
    tracking_uri: str, author: str, gate: GateRecipe, override: bool = False, by: str = "", reason: str = ""
) -> Decision:
    """Judge the newest evaluation; promote the registered challenger when the gate, or a person, says so.

    A person who refuses what the gate would promote gives the alias back to the champion before, if it had moved.
    The decision, with who turned it round and why, is recorded on the evaluation's run. Raises InputError when there
    is no evaluation, or an override without a name or a reason.
    """
    if override and not (by.strip() and reason.strip()):
        raise InputError("an override needs a name and a reason", "give --by NAME and --reason TEXT")
    scores = latest_scores(tracking_uri, author)
    if scores is None:
        raise InputError(f"no evaluation of {author} is logged", "run `twin run` or `twin evaluate` first")
    decision = judge_promotion(scores.measures, champion_measures(tracking_uri, author), gate)
    if override:
        decision = override_decision(decision, by.strip(), reason.strip(), datetime.now(UTC))
    for kind in ("adapter", "quantized"):
        name = model_name(author, kind)  # type: ignore[arg-type]
        if decision.promote:
            promote(tracking_uri, name, find_model(tracking_uri, name, CHALLENGER).version, CHAMPION)
        elif override:
            demote(tracking_uri, name, find_model(tracking_uri, name, CHALLENGER).version)
    record_decision(tracking_uri, author, latest_run(tracking_uri, author), decision)
    return decision
