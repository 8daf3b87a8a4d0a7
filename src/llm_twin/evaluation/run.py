"""The whole evaluation of one twin: every measure over the same prompts and seeds, into one Scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_twin.documents import Chunk
from llm_twin.evaluation.author_texts import split_texts
from llm_twin.evaluation.candidates import BASE, Candidates, load_candidates
from llm_twin.evaluation.known_items import KnownItem, make_known_items, measure_retrieval
from llm_twin.evaluation.likelihood import generate_texts, score_completions
from llm_twin.evaluation.memorisation import cut_attacks
from llm_twin.evaluation.perplexity import sample_messages, summarise_losses
from llm_twin.evaluation.prompts_asked import Prompts, choose_prompts, held_out_samples, model_prompts
from llm_twin.evaluation.quantized import ask_quantized
from llm_twin.evaluation.ragas_metrics import measure_contexts, measure_texts
from llm_twin.evaluation.retrieve import Retrieval
from llm_twin.evaluation.scores import Output, Scores
from llm_twin.evaluation.style_and_safety import add_memorisation, add_voice
from llm_twin.evaluation.truth import make_questions, measure_truth
from llm_twin.progress import report
from llm_twin.recipes import EvaluationRecipe
from llm_twin.training.samples import heldout_documents

Losses = dict[str, list[tuple[float, int]]]
Texts = dict[str, list[str]]


@dataclass(frozen=True)
class Models:
    """Folders of the candidates; `quantize_python` is the interpreter that can load the quantized one."""

    base: Path
    adapters: dict[str, Path]
    quantized: Path | None = None
    quantize_python: Path | None = None


def evaluate_models(
    author: str,
    index: str,
    models: Models,
    samples: Path,
    chunks: Sequence[Chunk],
    retrieval: Retrieval,
    recipe: EvaluationRecipe,
) -> Scores:
    """Measure all candidates on held-out samples, and retrieval on known-item queries."""
    heldout = held_out_samples(samples)
    scores = Scores(author=author, index=index, candidates=[BASE, *models.adapters], samples=len(heldout))
    items, found = evaluate_retrieval(scores, chunks, retrieval, recipe)
    if not heldout:
        scores.notes.append("no held-out samples: perplexity and texts need a test or validation split")
        return scores
    texts = split_texts(chunks, {d.document_id for d in heldout_documents(samples)} | {s.document_id for s in heldout})
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    prompts = Prompts(
        heldout=heldout,
        writing=choose_prompts(heldout, recipe.max_generations, recipe.seed),
        questions=make_questions(items, found, by_id, recipe.max_questions, recipe.retrieval.top_k),
        attacks=cut_attacks(list(texts.training.values()), most=recipe.max_attacks),
        author=author,
    )
    losses, answers, base_texts = _answer_all(scores, models, samples, prompts, recipe)
    scores.perplexity = summarise_losses(heldout, losses)
    continuations = add_answers(scores, prompts, answers, retrieval, recipe)
    if scores.outputs:
        report("evaluation: voice and memorisation")
        add_voice(scores, texts, base_texts, recipe)
        add_memorisation(scores, texts, prompts.attacks, continuations)
    scores.compare()
    return scores


def evaluate_retrieval(
    scores: Scores, chunks: Sequence[Chunk], retrieval: Retrieval, recipe: EvaluationRecipe
) -> tuple[list[KnownItem], dict[str, list[str]]]:
    """Add retrieval figures to `scores`; return the known items and what was found for each query."""
    items = make_known_items(chunks, recipe.max_queries, recipe.seed)
    if not items:
        scores.notes.append("no passage is long enough to make a known-item query of")
        return [], {}
    report(f"evaluation: {len(items)} known-item queries")
    found = {item.query: list(retrieval.find(item.query)) for item in items}
    scores.retrieval = measure_retrieval(items, found.__getitem__, recipe.recall_k)
    cut = sorted(recipe.recall_k)[len(recipe.recall_k) // 2]
    scores.contexts = measure_contexts([found[item.query][:cut] for item in items], [i.relevant for i in items])
    return items, found


def _answer_all(
    scores: Scores, models: Models, samples: Path, prompts: Prompts, recipe: EvaluationRecipe
) -> tuple[Losses, Texts, list[str]]:
    """Losses and answers of every candidate, and the base model's answers to prompts of the training split."""
    report(f"evaluation: loading {', '.join(scores.candidates)}")
    candidates = load_candidates(models.base, models.adapters)
    losses, answers = measure_candidates(candidates, prompts, recipe)
    with candidates.active(BASE) as model:
        asked = [sample_messages(sample) for sample in model_prompts(samples, recipe)]
        base_texts = generate_texts(model, candidates.tokenizer, asked, recipe.max_new_tokens, seed=recipe.seed)
    if models.quantized is None or models.quantize_python is None:
        scores.notes.append("the quantized model was not measured: no quantization environment is set")
    else:
        report("evaluation: the quantized model, in its own environment")
        scores.candidates.append("quantized")
        losses["quantized"], answers["quantized"] = ask_quantized(
            models.quantize_python, models.quantized, prompts.request(recipe)
        )
    return losses, answers, base_texts


def measure_candidates(candidates: Candidates, prompts: Prompts, recipe: EvaluationRecipe) -> tuple[Losses, Texts]:
    """By candidate: losses (nats, tokens) on the held-out samples, and answers to all that is asked."""
    conversations = prompts.conversations()
    losses: Losses = {}
    answers: Texts = {}
    for name in candidates.names:
        report(f"evaluation: {name}: {len(prompts.heldout)} samples, {len(conversations)} prompts")
        with candidates.active(name) as model:
            losses[name] = score_completions(model, candidates.tokenizer, prompts.pairs())
            answers[name] = generate_texts(
                model, candidates.tokenizer, conversations, recipe.max_new_tokens, seed=recipe.seed
            )
    return losses, answers


def add_answers(
    scores: Scores, prompts: Prompts, answers: Texts, retrieval: Retrieval, recipe: EvaluationRecipe
) -> Texts:
    """Put texts, their likeness to the author's, and the truth measures into `scores`; return the continuations."""
    continuations: Texts = {}
    written: Texts = {}
    for name, given in answers.items():
        written[name], replies, continuations[name] = prompts.split(given)
        if prompts.writing:
            scores.texts[name] = measure_texts(written[name], [sample.output for sample in prompts.writing])
        truths = measure_truth(prompts.questions, replies, retrieval.encoder, recipe.min_support)
        for measure, values in truths.items():
            scores.measures.setdefault(measure, {})[name] = values
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
    return continuations
