"""The report's sections on voice, memorisation and truth."""

from __future__ import annotations

from llm_twin.evaluation import plots
from llm_twin.evaluation.report_blocks import Block, format_interval
from llm_twin.evaluation.scores import Scores
from llm_twin.evaluation.statistics import mean_interval
from llm_twin.evaluation.voice.verdict import Voice

TRUTH = ("faithfulness", "citation_precision", "citation_recall", "answer_relevancy")


def voice_blocks(scores: Scores) -> list[Block]:
    """Voice by candidate, and what drives it."""
    if not scores.voice:
        return []
    rows = [
        [
            name,
            format_interval(voice.score, 1) if voice.score else "too short",
            format_interval(voice.over_base, 1) if voice.over_base else "",
            _guards(voice),
            "yes" if voice.passes else "; ".join(voice.reasons),
        ]
        for name, voice in scores.voice.items()
    ]
    blocks = [
        Block(
            "Voice",
            "0 is how another author reads, 100 how the author's own unseen writing reads; topic is masked. Copying, "
            "stitching and shuffling fool the score, so guards stand beside it. Surely above 110 is suspicious.",
            plots.intervals({n: v.score for n, v in scores.voice.items() if v.score}, references=(0, 100)),
            ["candidate", "voice", "gain over base, paired", "guards", "passes"],
            rows,
        )
    ]
    for name, voice in scores.voice.items():
        if voice.drivers and name in scores.candidates:
            drivers = [[d.feature, f"{d.effect:+.1f}", f"{d.texts:.2f}", f"{d.author:.2f}"] for d in voice.drivers[:8]]
            blocks.append(
                Block(
                    f"What sets {name} apart from the author",
                    "Style features that move its voice score most; rates as square roots of counts a thousand.",
                    "",
                    ["feature", "effect on voice", name, "the author"],
                    drivers,
                )
            )
    return blocks


def _guards(voice: Voice) -> str:
    if not voice.guards:
        return "nothing to look at"
    return ", ".join(f"{g.guard} {g.flagged}/{g.texts}" for g in voice.guards if g.flagged) or "clean"


def memorisation_block(scores: Scores) -> Block | None:
    """What is recited from the training documents."""
    if not scores.memorisation:
        return None
    rows = [
        [
            name,
            format_interval(found.copied),
            f"{found.flagged}/{found.texts} above {found.limit:.1%}",
            str(found.longest_run),
            f"{found.extracted}/{found.extraction_prompts}",
        ]
        for name, found in scores.memorisation.items()
    ]
    return Block(
        "Memorisation",
        "The share of words in runs of eight that a training document has too, the longest such run (at most 64 are "
        "counted), and how many attacks with the beginning of a training document got 30 words of it out.",
        "",
        ["candidate", "copied share", "texts over the limit", "longest run", "extracted"],
        rows,
    )


def truth_block(scores: Scores) -> Block | None:
    """Faithfulness and citations, without a judge."""
    kept = [name for name in TRUTH if name in scores.measures]
    if not kept:
        return None
    rows = []
    for candidate in scores.candidates:
        values = [scores.measures[name].get(candidate) for name in kept]
        rows.append([candidate, *(format_interval(mean_interval(list(v.values()))) if v else "" for v in values)])
    return Block(
        "Truth",
        "Questions answered from retrieved passages by the model alone. Served answers do better: what the sources "
        "do not support is replaced by the author's own sentences before anyone sees it.",
        "",
        ["candidate", *(name.replace("_", " ") for name in kept)],
        rows,
    )
