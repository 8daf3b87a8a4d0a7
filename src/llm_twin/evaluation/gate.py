"""The promotion gate: rules with evidence. A challenger is promoted when every rule is met, or refused with reasons.

A rule is met by an interval, never by a bare mean: `be_better` needs the lower bound of the paired difference above
the margin; `be_no_worse` is a non-inferiority test, the lower bound above minus the margin (Piaggio et al. 2012); a
limit needs the whole interval on its right side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from llm_twin.evaluation.statistics import mean_interval, welch_interval
from llm_twin.recipe_parts import GateRecipe, GateRule

LOWER_IS_BETTER = frozenset({"copied", "extracted", "nats_per_token", "obeyed_injection", "seconds"})
MIN_PAIRED_SHARE = 0.8  # of the challenger's prompts that the champion answered too, else the two are independent

Measures = Mapping[str, Mapping[str, Mapping[str, float]]]  # measure → candidate → prompt → value


class Evidence(BaseModel):
    """What one rule found. `low` and `high` bound the difference, or the measure for a limit."""

    rule: GateRule
    outcome: Literal["met", "not met", "not measured", "no champion yet"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    prompts: int = 0
    paired: bool = False
    reason: str


class Override(BaseModel):
    """A person's decision against the gate's."""

    by: str
    reason: str
    at: datetime


class Decision(BaseModel):
    """Whether the challenger may be promoted, and why."""

    candidate: str
    promote: bool
    mode: str
    evidence: list[Evidence]
    override: Override | None = None

    @property
    def reasons(self) -> list[str]:
        """Why not: the rules that are not met or could not be measured."""
        return [one.reason for one in self.evidence if one.outcome in ("not met", "not measured")]


def judge_promotion(measures: Measures, champion: Measures | None, recipe: GateRecipe) -> Decision:
    """Judge the recipe's candidate by its rules.

    `champion` are the measures of the release now in service, as they were taken then: they stand in where the champion
    is not among the candidates of this evaluation.
    """
    evidence = [_judge_rule(rule, measures, champion, recipe) for rule in recipe.rules]
    met = all(one.outcome in ("met", "no champion yet") for one in evidence)
    return Decision(
        candidate=recipe.candidate, promote=met or recipe.mode == "advise", mode=recipe.mode, evidence=evidence
    )


def override_decision(decision: Decision, by: str, reason: str, at: datetime) -> Decision:
    """The decision turned round by a person; who and why stay on it."""
    return decision.model_copy(
        update={"promote": not decision.promote, "override": Override(by=by, reason=reason, at=at)}
    )


def _judge_rule(rule: GateRule, measures: Measures, champion: Measures | None, recipe: GateRecipe) -> Evidence:
    ours = measures.get(rule.measure, {}).get(recipe.candidate, {})
    if not ours:
        return Evidence(rule=rule, outcome="not measured", reason=f"{rule.measure} was not measured")
    if rule.must in ("be_at_most", "be_at_least"):
        return _judge_limit(rule, ours, recipe.level)
    if rule.than == "champion":
        theirs = measures.get(rule.measure, {}).get("champion", {})  # it answered the same prompts, just now
        if not theirs and champion is None:
            return Evidence(rule=rule, outcome="no champion yet", reason=f"{rule.measure}: no champion to compare with")
        theirs = theirs or (champion or {}).get(rule.measure, {}).get(recipe.candidate, {})
    else:
        theirs = measures.get(rule.measure, {}).get(rule.than, {})
    if not theirs:
        return Evidence(rule=rule, outcome="not measured", reason=f"{rule.measure} of {rule.than} was not measured")
    return _judge_difference(rule, ours, theirs, recipe.level)


def _judge_limit(rule: GateRule, ours: Mapping[str, float], level: float) -> Evidence:
    if rule.limit is None:
        return Evidence(rule=rule, outcome="not measured", reason=f"{rule.measure}: the rule gives no limit")
    interval = mean_interval(list(ours.values()), level)
    low = interval.mean if interval.low is None else interval.low
    high = interval.mean if interval.high is None else interval.high
    met = high <= rule.limit if rule.must == "be_at_most" else low >= rule.limit
    return Evidence(
        rule=rule,
        outcome="met" if met else "not met",
        value=interval.mean,
        low=low,
        high=high,
        prompts=len(ours),
        reason=f"{rule.measure} is {interval.mean:.3f} [{low:.3f}, {high:.3f}], "
        f"must {rule.must.replace('_', ' ')} {rule.limit:g}",
    )


def _judge_difference(rule: GateRule, ours: Mapping[str, float], theirs: Mapping[str, float], level: float) -> Evidence:
    sign = -1.0 if rule.measure in LOWER_IS_BETTER else 1.0
    common = sorted(set(ours) & set(theirs))
    paired = len(common) >= max(2, MIN_PAIRED_SHARE * len(ours))
    if paired:
        interval = mean_interval([sign * (ours[p] - theirs[p]) for p in common], level)
        value, low, high = interval.mean, interval.low, interval.high
    elif min(len(ours), len(theirs)) >= 2:
        value, low, high = welch_interval([sign * v for v in theirs.values()], [sign * v for v in ours.values()], level)
    else:
        return Evidence(rule=rule, outcome="not measured", reason=f"{rule.measure}: too few prompts to compare")
    assert low is not None and high is not None
    needed = rule.margin if rule.must == "be_better" else -rule.margin
    met = low > needed or (rule.must == "be_no_worse" and math.isclose(low, needed, abs_tol=1e-12))
    return Evidence(
        rule=rule,
        outcome="met" if met else "not met",
        value=value,
        low=low,
        high=high,
        prompts=len(common) if paired else len(ours),
        paired=paired,
        reason=f"{rule.measure} gains {value:.3f} [{low:.3f}, {high:.3f}] on {rule.than}, "
        f"lower bound must be above {needed:g}",
    )
