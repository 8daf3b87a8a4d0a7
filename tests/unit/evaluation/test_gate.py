from datetime import UTC, datetime

import numpy as np

from llm_twin.evaluation.gate import judge_promotion, override_decision
from llm_twin.recipe_parts import GateRecipe, GateRule


def draws(mean, spread, seed, count=100):
    return {f"p{n}": float(v) for n, v in enumerate(np.random.default_rng(seed).normal(mean, spread, count))}


def gate(*rules, mode="enforce"):
    return GateRecipe(mode=mode, rules=list(rules))


BETTER = GateRule(measure="voice", must="be_better", than="base", margin=5)
NO_WORSE = GateRule(measure="faithfulness", must="be_no_worse", than="champion", margin=0.05)
COPIED = GateRule(measure="copied", must="be_at_most", limit=0.1)


def test_a_better_mean_that_may_be_chance_is_not_enough():
    base = draws(50, 30, 1, 10)
    lucky = {p: v + d for (p, v), d in zip(base.items(), [40, -30] * 5, strict=True)}
    decision = judge_promotion({"voice": {"base": base, "dpo": lucky}}, None, gate(BETTER))
    assert decision.evidence[0].value > 4.9 and not decision.promote
    assert "voice" in decision.reasons[0]
    sure = {p: v + 20 + n % 3 for n, (p, v) in enumerate(base.items())}
    assert judge_promotion({"voice": {"base": base, "dpo": sure}}, None, gate(BETTER)).promote


def test_non_inferiority_tolerates_the_margin_and_no_more():
    champion = {"faithfulness": {"dpo": draws(0.8, 0.1, 2)}}
    for loss, allowed in ((0.0, True), (0.02, True), (0.049, False), (0.1, False)):
        noise = draws(0, 0.02, 3)
        ours = {p: v - loss + noise[p] - 0.0005 for p, v in champion["faithfulness"]["dpo"].items()}
        decision = judge_promotion({"faithfulness": {"dpo": ours}}, champion, gate(NO_WORSE))
        assert decision.promote is allowed, loss
        assert decision.evidence[0].paired


def test_other_prompts_are_compared_as_independent():
    champion = {"faithfulness": {"dpo": {f"q{n}": v for n, v in enumerate(draws(0.8, 0.1, 4).values())}}}
    decision = judge_promotion({"faithfulness": {"dpo": draws(0.8, 0.1, 5)}}, champion, gate(NO_WORSE))
    assert not decision.evidence[0].paired and decision.evidence[0].low < decision.evidence[0].value


def test_lower_is_better_where_it_is():
    rule = GateRule(measure="seconds", must="be_no_worse", than="champion", margin=0.1)
    champion = {"seconds": {"dpo": draws(1, 0.05, 6)}}
    slower = {"seconds": {"dpo": {p: v + 0.5 for p, v in champion["seconds"]["dpo"].items()}}}
    faster = {"seconds": {"dpo": {p: v - 0.5 for p, v in champion["seconds"]["dpo"].items()}}}
    assert not judge_promotion(slower, champion, gate(rule)).promote
    assert judge_promotion(faster, champion, gate(rule)).promote


def test_limits_need_the_whole_interval():
    wide = {"copied": {"dpo": {f"p{n}": 0.09 + 0.2 * (-1) ** n for n in range(20)}}}
    narrow = {"copied": {"dpo": draws(0.02, 0.01, 8, 20)}}
    assert not judge_promotion(wide, None, gate(COPIED)).promote
    assert judge_promotion(narrow, None, gate(COPIED)).promote


def test_what_was_not_measured_is_not_passed_and_no_champion_is_no_hindrance():
    decision = judge_promotion({}, None, gate(BETTER, COPIED))
    assert not decision.promote and len(decision.reasons) == 2
    measures = {"faithfulness": {"dpo": draws(0.8, 0.1, 9)}}
    assert judge_promotion(measures, None, gate(NO_WORSE)).promote


def test_advice_promotes_and_a_person_can_turn_it_round_on_record():
    advised = judge_promotion({}, None, gate(BETTER, mode="advise"))
    assert advised.promote and advised.reasons
    refused = judge_promotion({}, None, gate(BETTER))
    turned = override_decision(refused, "R. Keane", "demo on Friday", datetime(2026, 1, 1, tzinfo=UTC))
    assert turned.promote and turned.override.by == "R. Keane" and turned.reasons == refused.reasons
