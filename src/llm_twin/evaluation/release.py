"""A release: the adapter and the quantized model that were evaluated together, registered under one alias."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from llm_twin.digests import digest_json, digest_path
from llm_twin.evaluation.gate import Decision, judge_promotion
from llm_twin.evaluation.mlflow_log import champion_measures, log_scores, record_decision
from llm_twin.evaluation.scores import Scores
from llm_twin.progress import report
from llm_twin.recipes import GateRecipe
from llm_twin.training.registry import CHALLENGER, CHAMPION, Registered, promote, register_model


def register_release(
    tracking_uri: str,
    exports: str,
    author: str,
    folders: dict[str, Path],
    scores: Scores,
    recipe: dict[str, object],
    gate: GateRecipe,
) -> str:
    """Register `folders` (base, adapter, quantized, samples) as challenger, and as champion if the gate promotes.

    Returns JSON: author, scores' digest, the gate's decision with its reasons, and for each model its name, version,
    digest and uri. The same models and scores again register nothing new and decide the same.
    """
    lineage = {
        "base_digest": digest_path(folders["base"]),
        "adapter_digest": digest_path(folders["adapter"]),
        "samples_digest": digest_path(folders["samples"]),
        "index": scores.index,
        "evaluation_recipe": digest_json(recipe),
    }
    figures = scores.headline()
    adapter = register_model(tracking_uri, author, "adapter", folders["adapter"], exports, lineage, _of(figures, "dpo"))
    lineage["adapter_version"] = adapter.version
    quantized = register_model(
        tracking_uri, author, "quantized", folders["quantized"], exports, lineage, _of(figures, "quantized")
    )
    decision = judge_promotion(scores.measures, champion_measures(tracking_uri, author), gate)
    for model in (adapter, quantized):
        promote(tracking_uri, model.name, model.version, CHALLENGER)
        if decision.promote:
            promote(tracking_uri, model.name, model.version, CHAMPION)
    record_decision(tracking_uri, author, log_scores(tracking_uri, scores, recipe, None), decision)
    report_decision(decision)
    release = {
        "author": author,
        "scores_digest": digest_json(scores.model_dump(mode="json")),
        "alias": CHAMPION if decision.promote else CHALLENGER,
        "gate": {"mode": decision.mode, "promoted": decision.promote, "reasons": decision.reasons},
        "models": {"adapter": _describe(adapter), "quantized": _describe(quantized)},
    }
    return json.dumps(release, sort_keys=True)


def report_decision(decision: Decision) -> None:
    """Say what the gate found, rule by rule."""
    for evidence in decision.evidence:
        report(f"gate: {evidence.outcome}: {evidence.reason}")
    if decision.promote and decision.reasons:
        report("gate: promoted all the same: the recipe's gate advises, it does not enforce")
    elif not decision.promote:
        report("gate: refused; the champion stays")


def _describe(model: Registered) -> dict[str, str]:
    described = asdict(model)
    return {key: described[key] for key in ("name", "version", "kind", "digest", "uri")}


def _of(figures: dict[str, float], candidate: str) -> dict[str, float]:
    """The figures that are the candidate's own, by their plain names, and those that are no candidate's."""
    candidates = ("base", "sft", "dpo", "quantized")
    own = {
        name.removesuffix(f"_{candidate}"): value for name, value in figures.items() if name.endswith(f"_{candidate}")
    }
    shared = {
        name: value for name, value in figures.items() if not any(name.endswith(f"_{other}") for other in candidates)
    }
    return shared | own
