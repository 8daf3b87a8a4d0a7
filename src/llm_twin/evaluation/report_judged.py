"""The report's sections on behaviour, question sets, general benchmarks and judges."""

from __future__ import annotations

from llm_twin.evaluation import plots
from llm_twin.evaluation.report_blocks import Block, format_interval
from llm_twin.evaluation.scores import Scores
from llm_twin.evaluation.statistics import mean_interval


def behaviour_block(scores: Scores) -> Block | None:
    """What the whole twin did when it was disturbed."""
    if not scores.behaviours:
        return None
    rows = [
        [finding.check, f"{finding.passed}/{finding.cases}", "; ".join(finding.failures[:3]) or "none"]
        for finding in scores.behaviours
    ]
    return Block(
        "Behaviour",
        "The whole twin, retrieval and guards included: does the answer stay the same under a paraphrase or a typo, "
        "is a question that the corpus does not answer refused, is an order inside a retrieved passage ignored, and "
        "are facts about one person not told of a stranger?",
        "",
        ["check", "passed", "failures"],
        rows,
    )


def sets_block(scores: Scores) -> Block | None:
    """Question sets of one's own."""
    rows = []
    for name, by_candidate in scores.sets.items():
        for candidate, found in by_candidate.items():
            if found.choice is not None:
                result = f"{format_interval(found.choice.accuracy)}, chance {found.choice.chance:.3f}"
                more = f"{found.choice.answered}/{found.questions} could be read"
                if found.macro_f1 is not None:
                    more += f"; macro F1 {found.macro_f1:.3f}: " + ", ".join(
                        f"{label} {one.f1:.2f} ({one.support})" for label, one in found.classes.items()
                    )
            else:
                result = format_interval(found.texts["rouge_l"]) if "rouge_l" in found.texts else ""
                more = ", ".join(f"{metric} {interval.mean:.3f}" for metric, interval in found.texts.items())
                more += f"; perplexity of the references {found.perplexity:.1f}" if found.perplexity else ""
            rows.append([f"{name}: {candidate}", found.task, found.method.replace("_", " "), result, more])
    if not rows:
        return None
    return Block(
        "Question sets",
        "Accuracy with Wilson's interval beside what chance would give; ROUGE-L for texts.",
        "",
        ["set and candidate", "task", "method", "result", "more"],
        rows,
    )


def benchmarks_block(scores: Scores) -> Block | None:
    """General benchmarks."""
    tasks = sorted({task for found in scores.benchmarks.values() for task in found})
    if not tasks:
        return None
    rows = []
    for task in tasks:
        row = [task]
        for candidate in scores.benchmarks:
            score = scores.benchmarks[candidate].get(task)
            error = f" ± {1.96 * score.error:.3f}" if score is not None and score.error is not None else ""
            row.append("" if score is None else f"{score.value:.3f}{error} ({score.questions})")
        rows.append(row)
    return Block(
        "General benchmarks",
        "Through lm-evaluation-harness; ± 1.96 of its standard errors, questions in brackets.",
        "",
        ["task and metric", *scores.benchmarks],
        rows,
    )


def judge_blocks(scores: Scores) -> list[Block]:
    """Grades, pairs and ragas' judged metrics, with what did not come."""
    blocks = []
    if scores.judge:
        criteria = sorted({name for judged in scores.judge.values() for name in judged.means})
        rows = []
        for name, judged in scores.judge.items():
            cells = [format_interval(judged.means[c], 2) if c in judged.means else "" for c in criteria]
            bias = ", ".join(f"{c} {value:+.2f}" for c, value in judged.length_bias.items())
            rows.append([name, *cells, f"{judged.answered}/{judged.asked}", _missing(judged.missing), bias])
        drawn = {
            f"{name}: {c}": judged.means[c]
            for name, judged in scores.judge.items()
            for c in criteria
            if c in judged.means
        }
        blocks.append(
            Block(
                "Judges",
                "Grades of 1 to 3 by language models at temperature 0, the author's own text among the graded. A grade "
                "that did not come counts in no mean. Length bias: rank correlation of grade and length.",
                plots.intervals(drawn) if drawn else "",
                ["graded", *criteria, "grades that came", "missing", "length bias"],
                rows,
            )
        )
    if scores.pairs:
        rows = [
            [
                name,
                format_interval(found.win_rate, 2) if found.win_rate else "",
                f"{found.position_bias:+.2f}",
                str(found.inconsistent),
                f"{found.longer_preferred:.2f}",
                _missing(found.missing),
            ]
            for name, found in scores.pairs.items()
        ]
        blocks.append(
            Block(
                "Judges: which is better",
                "Each pair in both orders; 0.5 is a tie. Position bias: how much more often than half the "
                "answer in the first place was taken. Turned: verdicts that changed with the order.",
                "",
                ["pair", "win rate", "position bias", "turned", "longer taken", "missing"],
                rows,
            )
        )
    if scores.ragas:
        metrics = list(next(iter(scores.ragas.values())).values)
        rows = []
        for name, ragas in scores.ragas.items():
            cells = [
                format_interval(mean_interval(list(ragas.values[m].values()))) if ragas.values.get(m) else ""
                for m in metrics
            ]
            rows.append([name, *cells, _missing(ragas.missing)])
        blocks.append(
            Block(
                "ragas, with a judge",
                "Of the answers to questions with sources. A value that did not come counts in no mean.",
                "",
                ["candidate", *(m.replace("_", " ") for m in metrics), "missing"],
                rows,
            )
        )
    return blocks


def _missing(missing: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(missing.items())) or "none"
