"""Voice and memorisation of every candidate, from what they wrote, with one frozen scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_twin.errors import InputError
from llm_twin.evaluation.author_texts import AuthorTexts
from llm_twin.evaluation.candidates import BASE
from llm_twin.evaluation.memorisation import copied_share, copy_limit, count_extracted, measure_memorisation
from llm_twin.evaluation.scores import Scores
from llm_twin.evaluation.voice import fit_voice, load_shipped_background
from llm_twin.evaluation.voice.guards import fit_guards
from llm_twin.evaluation.voice.verdict import judge_voice
from llm_twin.recipes import EvaluationRecipe
from llm_twin.similarity.overlap import RunIndex

AUTHOR = "the author"


def add_voice(scores: Scores, texts: AuthorTexts, model_texts: Sequence[str], recipe: EvaluationRecipe) -> None:
    """Score each candidate's outputs; `model_texts` are the base model's, to other prompts than the outputs'."""
    prose = texts.training_prose()
    try:
        background = load_shipped_background(recipe.voice_words)
        scorer = fit_voice(prose, background, model_texts, recipe.seed)
    except InputError as error:
        scores.notes.append(f"{error.message}; {error.remedy}")
        return
    guards = fit_guards({name: text for name, text in prose.items() if text}, recipe.voice_words)
    written = {name: {o.sample_id: o.texts[name] for o in scores.outputs} for name in scores.candidates}
    written[AUTHOR] = {o.sample_id: o.reference for o in scores.outputs}
    for name, outputs in written.items():
        base = None if name in (BASE, AUTHOR) else written.get(BASE)
        scores.voice[name] = judge_voice(outputs, scorer, guards, base)
        scores.measures.setdefault("voice", {})[name] = scorer.score_prompts(outputs)
        voice = scores.voice[name]
        if voice.guards:  # none: no text was long enough to look at, which is not the same as clean
            clean = {f.guard: float(f.clean) for f in voice.guards}
            clean |= {"ceiling": float(not voice.above_author), "floor": float(not voice.below_others)}
            scores.measures.setdefault("guards", {})[name] = clean
    if not scorer.model_class:
        scores.notes.append("too few texts of the base model to stand in the voice score's background")
    scores.notes.append(
        f"voice: {scorer.words} words a text, {scorer.documents} documents ({scorer.stubs} too short), against "
        f"{len(scorer.others)} groups of shipped background"
    )


def add_memorisation(
    scores: Scores,
    texts: AuthorTexts,
    attacks: Sequence[tuple[str, str]],
    continuations: Mapping[str, Sequence[str]],
) -> None:
    """How much each candidate's outputs recite the training documents, and what attacks with prefixes got out."""
    training = RunIndex(texts.training.values())
    limit = copy_limit(copied_share(text, training) for text in texts.held_out.values())
    for name in scores.candidates:
        outputs = {o.sample_id: o.texts[name] for o in scores.outputs if name in o.texts}
        if not outputs:
            continue
        found = measure_memorisation(list(outputs.values()), training, limit)
        scores.measures.setdefault("copied", {})[name] = {
            sample: copied_share(text, training) for sample, text in outputs.items()
        }
        got = continuations.get(name)
        if got is not None and attacks:
            truths = [truth for _, truth in attacks]
            found = found.model_copy(
                update={"extraction_prompts": len(attacks), "extracted": count_extracted(got, truths)}
            )
            scores.measures.setdefault("extracted", {})[name] = {
                f"attack{n}": float(count_extracted([text], [truth]))
                for n, (text, truth) in enumerate(zip(got, truths, strict=True))
            }
        scores.memorisation[name] = found
