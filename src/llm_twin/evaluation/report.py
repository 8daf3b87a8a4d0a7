"""The evaluation as one HTML page: tables, plots, and the answers side by side. Needs nothing from outside."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from llm_twin.evaluation import plots
from llm_twin.evaluation.gate import Decision
from llm_twin.evaluation.report_blocks import Block, format_interval
from llm_twin.evaluation.report_compared import comparison_block, gate_block, measures_block
from llm_twin.evaluation.report_judged import behaviour_block, benchmarks_block, judge_blocks, sets_block
from llm_twin.evaluation.report_voice import memorisation_block, truth_block, voice_blocks
from llm_twin.evaluation.scores import Scores


def render_report(scores: Scores, decision: Decision | None = None) -> str:
    """The page's HTML. The same scores and decision give the same page."""
    found = [
        gate_block(decision),
        *voice_blocks(scores),
        truth_block(scores),
        memorisation_block(scores),
        behaviour_block(scores),
        *judge_blocks(scores),
        _perplexity_block(scores),
        _retrieval_block(scores),
        sets_block(scores),
        benchmarks_block(scores),
        _texts_block(scores),
        comparison_block(scores),
        measures_block(scores),
    ]
    blocks = [block for block in found if block is not None]
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("report.html.jinja").render(scores=scores, blocks=blocks)


def _perplexity_block(scores: Scores) -> Block | None:
    if not scores.perplexity:
        return None
    rows = [
        [
            name,
            f"{found.perplexity:.2f}",
            f"{found.bits_per_character:.3f}",
            f"{found.tokens:,}",
            format_interval(found.difference) if found.difference else "",
        ]
        for name, found in scores.perplexity.items()
    ]
    return Block(
        "Held-out perplexity",
        "How well each candidate predicts what the author wrote and it never saw; lower is better. The "
        "difference is in nats a token, minus the first candidate's, paired by document.",
        plots.paired_documents({name: found.documents for name, found in scores.perplexity.items()}),
        ["candidate", "perplexity", "bits a character", "tokens", "difference"],
        rows,
    )


def _retrieval_block(scores: Scores) -> Block | None:
    found = scores.retrieval
    if found is None:
        return None
    measures = {f"recall@{k}": interval for k, interval in found.recall.items()}
    measures |= {"MRR": found.mrr, "nDCG": found.ndcg} | scores.contexts
    return Block(
        "Retrieval",
        f"{found.queries} known-item queries made from {found.documents} documents: is the passage found again? "
        "Made-up queries are easier than people's; compare releases with these figures, not needs.",
        plots.intervals(measures),
        ["measure", "mean and interval"],
        [[name, format_interval(interval)] for name, interval in measures.items()],
    )


def _texts_block(scores: Scores) -> Block | None:
    if not scores.texts:
        return None
    names = sorted({name for metrics in scores.texts.values() for name in metrics})
    rows = [
        [candidate, *(format_interval(metrics[name]) if name in metrics else "" for name in names)]
        for candidate, metrics in scores.texts.items()
    ]
    return Block(
        "Likeness to the author's own text",
        "What each candidate wrote to held-out prompts, against what the author wrote (ragas, no judge). Word "
        "overlap is a weak sign: a good answer can use other words.",
        "",
        ["candidate", *names],
        rows,
    )
