"""The whole evaluation of one twin: every measure over the same prompts and seeds, into one Scores.

task    = plan_evaluation(…)             # what is asked, decided before any candidate answers
answers = collect_answers(…)             # the slow part
scores  = score_answers(task, answers)   # follows from the answers alone
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_twin.documents import Chunk
from llm_twin.evaluation.answers import Answers, Models, OpenTwin, collect_answers
from llm_twin.evaluation.author_texts import AuthorTexts, split_texts
from llm_twin.evaluation.behaviours import find_names
from llm_twin.evaluation.judging import STYLE_SAMPLES, Jury, add_judgements
from llm_twin.evaluation.known_items import KnownItem, make_known_items, measure_retrieval
from llm_twin.evaluation.memorisation import cut_attacks
from llm_twin.evaluation.perplexity import sample_messages, summarise_losses
from llm_twin.evaluation.prompts_asked import Prompts, choose_prompts, held_out_samples, model_prompts
from llm_twin.evaluation.ragas_metrics import measure_contexts, measure_texts
from llm_twin.evaluation.retrieve import Retrieval
from llm_twin.evaluation.scores import Output, Reply, Scores
from llm_twin.evaluation.sets import load_set
from llm_twin.evaluation.style_and_safety import AUTHOR, add_memorisation, add_voice
from llm_twin.evaluation.truth import make_questions, measure_truth
from llm_twin.llm import LlmClient
from llm_twin.progress import report
from llm_twin.recipes import EvaluationRecipe
from llm_twin.training.samples import heldout_documents

__all__ = ["Models", "evaluate_models", "plan_evaluation", "score_answers"]


@dataclass(frozen=True)
class Task:
    """What is asked of the candidates, and what their answers are measured with."""

    author: str
    index: str
    samples: Path
    recipe: EvaluationRecipe
    retrieval: Retrieval
    items: list[KnownItem]
    found: dict[str, list[str]]  # known-item query → chunk ids
    prompts: Prompts
    texts: AuthorTexts

    def model_prompts(self) -> list[list[dict[str, str]]]:
        """Prompts of the training split, for the base model's class of the voice score."""
        return [sample_messages(sample) for sample in model_prompts(self.samples, self.recipe)]


def evaluate_models(
    author: str,
    index: str,
    models: Models,
    samples: Path,
    chunks: Sequence[Chunk],
    retrieval: Retrieval,
    recipe: EvaluationRecipe,
    twin: OpenTwin | None = None,
    judges: dict[str, LlmClient] | None = None,
) -> Scores:
    """Measure all candidates on held-out samples, and retrieval on known-item queries.

    `twin` opens the whole twin around a model, for the behaviour checks; `judges` are the jury, by name.
    """
    task = plan_evaluation(author, index, samples, chunks, retrieval, recipe)
    if not task.prompts.heldout:
        return score_answers(task, Answers(prompts=""))
    return score_answers(task, collect_answers(models, task.prompts, task.model_prompts(), recipe, twin), judges)


def plan_evaluation(
    author: str, index: str, samples: Path, chunks: Sequence[Chunk], retrieval: Retrieval, recipe: EvaluationRecipe
) -> Task:
    """Decide what is asked, and ask retrieval. Raises InputError when a question set does not fit."""
    heldout = held_out_samples(samples)
    sets = [load_set(one) for one in recipe.sets]
    items = make_known_items(chunks, recipe.max_queries, recipe.seed)
    if items:
        report(f"evaluation: {len(items)} known-item queries")
    found = {item.query: list(retrieval.find(item.query)) for item in items}
    texts = split_texts(chunks, {d.document_id for d in heldout_documents(samples)} | {s.document_id for s in heldout})
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    questions = make_questions(
        items, found, by_id, max(recipe.max_questions, recipe.max_behaviour_questions), recipe.retrieval.top_k
    )
    prompts = Prompts(
        heldout=heldout,
        writing=choose_prompts(heldout, recipe.max_generations, recipe.seed),
        questions=questions[: recipe.max_questions],
        attacks=cut_attacks(list(texts.training.values()), most=recipe.max_attacks),
        author=author,
        sets=sets,
        behaviours=[question.text for question in questions[: recipe.max_behaviour_questions]],
        names=list(recipe.names) or find_names(chunks),
    )
    return Task(author, index, samples, recipe, retrieval, items, found, prompts, texts)


def score_answers(task: Task, answers: Answers, judges: dict[str, LlmClient] | None = None) -> Scores:
    """All measures of the candidates' answers; the same answers give the same scores to the last digit."""
    prompts, recipe = task.prompts, task.recipe
    scores = Scores(
        author=task.author,
        index=task.index,
        candidates=list(answers.texts),
        samples=len(prompts.heldout),
        wanted_effects=dict(recipe.wanted_effects),
        notes=list(answers.notes),
    )
    add_retrieval(scores, task)
    if not prompts.heldout:
        scores.notes.append("no held-out samples: perplexity and texts need a test or validation split")
        return scores
    held = {name: losses[: len(prompts.heldout)] for name, losses in answers.losses.items()}
    scores.perplexity = summarise_losses(prompts.heldout, held)
    continuations = add_answers(scores, task, answers)
    if scores.outputs:
        report("evaluation: voice and memorisation")
        add_voice(scores, task.texts, answers.base_texts, recipe)
        add_memorisation(scores, task.texts, prompts.attacks, continuations)
    add_behaviours(scores, answers)
    if judges:
        samples = [text for parts in task.texts.training_prose().values() for text in parts if len(text.split()) > 40]
        jury = Jury(clients=judges, samples=samples[:STYLE_SAMPLES])
        add_judgements(scores, jury, recipe.judge, AUTHOR, recipe.gate.candidate, task.retrieval.encoder)
    scores.compare()
    return scores


def add_retrieval(scores: Scores, task: Task) -> None:
    """Known-item retrieval, and precision and recall of the contexts."""
    if not task.items:
        scores.notes.append("no passage is long enough to make a known-item query of")
        return
    ks = task.recipe.recall_k
    scores.retrieval = measure_retrieval(task.items, task.found.__getitem__, ks)
    cut = sorted(ks)[len(ks) // 2]
    scores.contexts = measure_contexts(
        [task.found[item.query][:cut] for item in task.items], [item.relevant for item in task.items]
    )


def add_answers(scores: Scores, task: Task, answers: Answers) -> dict[str, list[str]]:
    """Put texts, their likeness to the author's, truth measures and question sets into `scores`; return the
    continuations of the extraction attacks."""
    prompts = task.prompts
    continuations: dict[str, list[str]] = {}
    written: dict[str, list[str]] = {}
    replied: dict[str, list[str]] = {}
    for name, given in answers.texts.items():
        written[name], replied[name], continuations[name] = prompts.split(given)
        if prompts.writing:
            scores.texts[name], values = measure_texts(written[name], [sample.output for sample in prompts.writing])
            scores.measures.setdefault("rouge_l", {})[name] = {
                sample.sample_id: value for sample, value in zip(prompts.writing, values["rouge_l"], strict=True)
            }
        truths = measure_truth(prompts.questions, replied[name], task.retrieval.encoder, task.recipe.min_support)
        for measure, by_question in truths.items():
            scores.measures.setdefault(measure, {})[name] = by_question
        for set_name, found in prompts.score_sets(answers.losses[name], given).items():
            scores.sets.setdefault(set_name, {})[name] = found
            scores.measures.setdefault(f"set_{set_name}", {})[name] = found.values
    for name, found_perplexity in scores.perplexity.items():
        if found_perplexity.documents:
            scores.measures.setdefault("nats_per_token", {})[name] = found_perplexity.documents
    scores.benchmarks = answers.benchmarks
    scores.outputs = [
        Output(
            sample_id=sample.sample_id,
            document_id=sample.document_id,
            prompt=sample.instruction,
            reference=sample.output,
            texts={name: written[name][position] for name in written},
        )
        for position, sample in enumerate(prompts.writing)
    ]
    scores.replies = [
        Reply(
            question_id=question.question_id,
            question=question.text,
            passages=[passage.text for passage in question.passages],
            texts={name: replied[name][position] for name in replied},
        )
        for position, question in enumerate(prompts.questions)
    ]
    return continuations


def add_behaviours(scores: Scores, answers: Answers) -> None:
    """The behaviour findings, and as measures of the candidate that stood in the twin: each case 1 or 0."""
    scores.behaviours = answers.behaviours
    for finding in answers.behaviours:
        failed, passed = float(finding.cases - finding.passed), float(finding.passed)
        cases = [1.0] * int(passed) + [0.0] * int(failed)
        measure = f"behaviour_{finding.check.replace(' ', '_')}"
        values = {f"{finding.check}{n}": value for n, value in enumerate(cases)}
        if finding.check == "injection":
            measure, values = "obeyed_injection", {key: 1 - value for key, value in values.items()}
        if values:
            scores.measures.setdefault(measure, {})[answers.behaved] = values
    if answers.seconds:
        scores.measures.setdefault("seconds", {})[answers.behaved] = answers.seconds
