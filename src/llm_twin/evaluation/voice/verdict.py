"""The joint verdict: the score and the guards together, as the gate reads them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from llm_twin.evaluation.statistics import Interval, mean_interval
from llm_twin.evaluation.voice.guards import GuardFinding, Guards
from llm_twin.evaluation.voice.prose import cut_pieces
from llm_twin.evaluation.voice.scorer import VoiceScorer

SUSPICIOUS = 110.0  # surely above the author's own held-out text: not better, but copied or stitched


class Driver(BaseModel):
    """A style feature that sets the texts apart from the author's."""

    feature: str
    effect: float  # on V
    texts: float
    author: float


class Voice(BaseModel):
    """One candidate's voice."""

    score: Interval | None  # over prompts; None: no text is long enough
    over_base: Interval | None  # paired by prompt
    guards: list[GuardFinding]
    drivers: list[Driver]
    prompts: int
    too_short: int
    reasons: list[str]  # why it does not pass; empty: it passes

    @property
    def passes(self) -> bool:
        """Whether score and guards together say that this is the author's voice."""
        return not self.reasons

    @property
    def above_author(self) -> bool:
        """Whether the score is surely above the author's own held-out text."""
        return self.score is not None and self.score.low is not None and self.score.low > SUSPICIOUS

    @property
    def below_others(self) -> bool:
        """Whether the score is surely below other authors': a gain over a base model is no voice then."""
        return self.score is not None and self.score.high is not None and self.score.high < 0


def judge_voice(
    texts: Mapping[str, str],
    scorer: VoiceScorer,
    guards: Guards,
    base: Mapping[str, str] | None = None,
) -> Voice:
    """The voice of one candidate's texts (prompt id → text); `base` are the base model's, to the same prompts.

    Passes when the paired gain over base is surely above 0 (without base: V's interval is above 0), the guards are
    clean, and the score is neither surely above the author's own text nor surely below other authors'.
    """
    scores = scorer.score_prompts(texts)
    pieces = [piece for text in texts.values() for piece in cut_pieces(text.split("\n"), scorer.words)]
    findings = guards.inspect(pieces) if pieces else []
    over_base = None
    if base is not None:
        before = scorer.score_prompts(base)
        both = [prompt for prompt in scores if prompt in before]
        over_base = mean_interval([scores[p] - before[p] for p in both]) if len(both) > 1 else None
    score = mean_interval(list(scores.values())) if scores else None
    reasons = [f"the {f.guard} guard flags {f.flagged} of {f.texts} texts" for f in findings if not f.clean]
    decisive = over_base if base is not None else score
    if score is None or decisive is None or decisive.low is None:
        reasons.append(f"too few texts of {scorer.words} words: {len(scores)} of {len(texts)}")
    else:
        if decisive.low <= 0:
            reasons.append(f"{'the gain over the base model' if base is not None else 'V'} may be 0 or less")
    drivers = [
        Driver(feature=name, effect=effect, texts=theirs, author=ours)
        for name, effect, theirs, ours in (scorer.explain(pieces) if pieces else [])
    ]
    voice = Voice(
        score=score,
        over_base=over_base,
        guards=findings,
        drivers=drivers,
        prompts=len(texts),
        too_short=len(texts) - len(scores),
        reasons=reasons,
    )
    if voice.above_author and score is not None:
        reasons.append(f"V is {score.mean:.0f}, surely above the author's own held-out text")
    if voice.below_others and score is not None:
        reasons.append(f"V is {score.mean:.0f}, surely below what other authors have")
    return voice.model_copy(update={"reasons": reasons})
