"""The report's sections on the gate, all measures, and the comparison of candidates."""

from __future__ import annotations

import math

from llm_twin.evaluation import plots
from llm_twin.evaluation.candidates import BASE
from llm_twin.evaluation.gate import Decision
from llm_twin.evaluation.report_blocks import Block, format_interval, format_number
from llm_twin.evaluation.scores import Scores
from llm_twin.evaluation.statistics import mean_interval, prompts_needed


def gate_block(decision: Decision | None) -> Block | None:
    """Each rule with its evidence, and what follows."""
    if decision is None:
        return None
    rows = []
    for one in decision.evidence:
        interval = ""
        if one.value is not None and one.low is not None and one.high is not None:
            interval = " ".join((format_number(one.value), f"[{format_number(one.low)}, {format_number(one.high)}]"))
        compared = ("paired" if one.paired else "independent") if one.rule.than != "limit" and one.value else ""
        rows.append([one.rule.measure, one.outcome, interval, str(one.prompts or ""), compared, one.reason])
    verdict = f"{decision.candidate} may be promoted." if decision.promote else f"{decision.candidate} is refused."
    if decision.promote and decision.reasons:
        verdict += " Rules are not met; this recipe's gate advises and does not enforce."
    return Block(
        "The gate",
        f"{verdict} A rule is met by an interval, never by a bare mean.",
        "",
        ["measure", "outcome", "value", "prompts", "compared", "evidence"],
        rows,
    )


def measures_block(scores: Scores) -> Block | None:
    """Every measure of every candidate: mean with interval, median, deviation."""
    rows = []
    for measure, candidates in scores.measures.items():
        for name, values in candidates.items():
            if values:
                found = mean_interval(list(values.values()))
                rows.append(
                    [
                        f"{measure}: {name}",
                        format_interval(found),
                        format_number(found.median),
                        f"{found.deviation:.3f}",
                        str(found.count),
                    ]
                )
    if not rows:
        return None
    return Block(
        "All measures",
        "Over prompts, questions or documents, as the measure has it.",
        "",
        ["measure and candidate", "mean and interval", "median", "deviation", "values"],
        rows,
        folded=True,
    )


def comparison_block(scores: Scores) -> Block | None:
    """Every pair of candidates on every measure, paired by prompt and corrected."""
    rows, drawn = [], {}
    for measure, pairs in scores.comparisons.items():
        for pair in pairs:
            deviation = pair.difference.deviation
            if not deviation:
                continue
            wanted = scores.wanted_effects.get(measure, deviation / 2)
            rows.append(
                [
                    f"{measure}: {pair.second} − {pair.first}",
                    format_interval(pair.difference),
                    format_number(pair.difference.median),
                    f"{pair.effect_size:+.2f}",
                    f"{pair.corrected:.3f}",
                    "different" if pair.different else "not told apart",
                    f"{prompts_needed(deviation, wanted)} for {wanted:.2g}",
                ]
            )
            low, high = pair.difference.low, pair.difference.high
            if pair.first == BASE and low is not None and high is not None and math.isfinite(pair.effect_size):
                drawn[rows[-1][0]] = (pair.effect_size, low / deviation, high / deviation, pair.different)
    if not rows:
        return None
    return Block(
        "Candidates compared",
        "Paired by prompt, 95 % intervals; p after Holm's correction within a measure, the larger of Student's t and "
        "a sign-flip permutation test. The last column: how many prompts find a difference of that size four times in "
        "five; the recipe's wanted effect, or half a standard deviation. The plot shows each candidate against base.",
        plots.differences(drawn) if drawn else "",
        ["comparison", "difference", "median", "effect size", "p", "verdict", "prompts needed"],
        rows,
    )
