"""A judge between two answers, asked in both orders, so that preferring a place cannot pass for preferring a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from llm_twin.evaluation.statistics import Interval, mean_interval
from llm_twin.llm import LlmClient, Request
from llm_twin.prompts import render_prompt


class Preference(BaseModel):
    """A judge's reply."""

    reason: str = ""
    better: Literal["A", "B", "tie"]


@dataclass(frozen=True)
class Pair:
    """Two answers to one question."""

    prompt_id: str
    question: str
    first: str
    second: str


class PairScores(BaseModel):
    """How the second answers fare against the first."""

    wins: dict[str, float]  # prompt → 1 second wins, 0 first wins, 0.5 tie or the two orders disagree
    win_rate: Interval | None
    position_bias: float  # share of decided replies that took the answer in the first place, minus a half
    inconsistent: int  # prompts whose verdict turned with the order
    longer_preferred: float  # share of decided replies that took the longer answer; 0.5 is no bias, if texts are equal
    asked: int
    missing: dict[str, int]  # kind of failure → how many replies


def compare_answers(
    client: LlmClient, pairs: Sequence[Pair], criterion: str, samples: Sequence[str] = ()
) -> PairScores:
    """Ask about each pair twice, with places changed. A pair with a reply missing in either order is left out."""
    requests = []
    for pair in pairs:
        for a, b in ((pair.first, pair.second), (pair.second, pair.first)):
            prompt = render_prompt(
                "judge_pair", question=pair.question, first=a, second=b, criterion=criterion, samples=list(samples)
            )
            requests.append(Request(prompt))
    outcomes = client.ask_all(requests, Preference, "judging pairs")
    missing = Counter(outcome.failure for outcome in outcomes if outcome.value is None)
    wins: dict[str, float] = {}
    decided = at_first = longer = unequal = inconsistent = 0
    for number, pair in enumerate(pairs):
        forth, back = outcomes[2 * number].value, outcomes[2 * number + 1].value
        replies = [(forth, pair.first, pair.second), (back, pair.second, pair.first)]
        for reply, a, b in replies:
            if reply is None or reply.better == "tie":
                continue
            decided += 1
            at_first += reply.better == "A"
            if len(a) != len(b):
                unequal += 1
                longer += (reply.better == "A") == (len(a) > len(b))
        if forth is None or back is None:
            continue
        scores = {"A": 0.0, "B": 1.0, "tie": 0.5}[forth.better], {"A": 1.0, "B": 0.0, "tie": 0.5}[back.better]
        inconsistent += abs(scores[0] - scores[1]) == 1
        wins[pair.prompt_id] = sum(scores) / 2
    return PairScores(
        wins=wins,
        win_rate=mean_interval(list(wins.values())) if wins else None,
        position_bias=at_first / decided - 0.5 if decided else 0.0,
        inconsistent=inconsistent,
        longer_preferred=longer / unequal if unequal else 0.5,
        asked=len(requests),
        missing=dict(missing),
    )
