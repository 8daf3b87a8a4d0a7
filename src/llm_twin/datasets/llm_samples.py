"""What an LLM adds where one is configured: instructions, questions with answers, rejected texts, rankings.

A question that fails costs nothing but itself: an instruction falls back to the rules, a pair to the degraded
rewrite, and all are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from llm_twin.datasets.filters import Dropped
from llm_twin.datasets.instructions import compose_instruction, make_sample
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.passages import Passage, count_words
from llm_twin.datasets.preferences import make_pair, pair_degraded
from llm_twin.documents import Chunk, InstructionSample, PreferenceSample, Split, stable_id
from llm_twin.llm import LlmClient, Request
from llm_twin.prompts import render_prompt
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.overlap import word_distance
from llm_twin.support import check_support, split_sentences
from llm_twin.support.check import Encodes

QUESTIONS_A_PASSAGE = 3
MIN_ANSWER_SUPPORT = 0.6
UNSUPPORTED = "unsupported answer"


class InstructionReply(BaseModel):
    """The request that a passage answers."""

    instruction: str = Field(min_length=8, max_length=600)


class QuestionAnswer(BaseModel):
    """A question and its answer."""

    question: str = Field(min_length=8, max_length=400)
    answer: str = Field(min_length=2, max_length=2000)


class QuestionsReply(BaseModel):
    """Questions that a passage answers."""

    pairs: list[QuestionAnswer] = Field(max_length=10)


class TextReply(BaseModel):
    """A response in the model's own voice."""

    text: str = Field(min_length=20, max_length=8000)


class RankingReply(BaseModel):
    """Responses by number, the best first."""

    ranking: list[int] = Field(min_length=2)
    confidence: float = Field(ge=0, le=1)
    reason: str = ""


def write_llm_instructions(
    passages: Sequence[Passage],
    splits: dict[str, Split],
    weights: PhraseWeights,
    recipe: DatasetsRecipe,
    client: LlmClient,
    counts: Counter[str],
) -> list[InstructionSample]:
    """One sample for each passage: the LLM's instruction, or the rules' where it gave none; `counts` tells."""
    requests = [
        Request(render_prompt("llm_instruction", title=p.document.title.strip(), passage=p.text)) for p in passages
    ]
    outcomes = client.ask_all(requests, InstructionReply, "instructions")
    samples = []
    for passage, outcome in zip(passages, outcomes, strict=True):
        kind, source, instruction = compose_instruction(passage, weights, recipe)
        if kind in ("continuation", "code"):  # their instruction holds text that the passage needs
            counts["instruction: by its kind"] += 1
        elif outcome.value is None:
            counts[f"instruction: rules after {outcome.failure}"] += 1
        else:
            counts["instruction: llm"] += 1
            source, instruction = "llm", outcome.value.instruction.strip()
        samples.append(make_sample(passage, splits[passage.document.document_id], kind, source, instruction))
    return samples


def write_llm_questions(
    passages: Sequence[Passage],
    splits: dict[str, Split],
    client: LlmClient,
    encoder: Encodes,
    counts: Counter[str],
    dropped: Dropped,
) -> list[InstructionSample]:
    """Question-and-answer samples whose every sentence the passage supports; the others go, as `unsupported answer`.

    Unlike all other samples their output is the LLM's wording of what the author says: kind `question`.
    """
    requests = [
        Request(
            render_prompt("llm_questions", count=QUESTIONS_A_PASSAGE, title=p.document.title.strip(), passage=p.text)
        )
        for p in passages
    ]
    dropped.samples.setdefault(UNSUPPORTED, [])
    samples: list[InstructionSample] = []
    for passage, outcome in zip(passages, client.ask_all(requests, QuestionsReply, "questions"), strict=True):
        if outcome.value is None:
            counts[f"questions: none after {outcome.failure}"] += 1
            continue
        counts["questions: asked"] += 1
        for pair in outcome.value.pairs[:QUESTIONS_A_PASSAGE]:
            sentences = [sentence.text for sentence in split_sentences(pair.answer)]
            checked = check_support(sentences, [_as_chunk(passage)], encoder, MIN_ANSWER_SUPPORT)
            split = splits[passage.document.document_id]
            sample = make_sample(passage, split, "question", "llm", pair.question.strip())
            new_id = stable_id(sample.sample_id, pair.answer)
            sample = sample.model_copy(update={"output": pair.answer.strip(), "sample_id": new_id})
            unsupported = [sentence.text for sentence in checked if not sentence.supported]
            if checked and not unsupported:
                counts["answers: supported"] += 1
                samples.append(sample)
                continue
            counts["answers: not supported"] += 1
            dropped.add(UNSUPPORTED, sample, f"not in the passage: “{' '.join(unsupported)[:160]}”")
    return samples


def _as_chunk(passage: Passage) -> Chunk:
    document = passage.document
    fields = ("document_id", "revision_id", "author", "platform", "kind", "url")
    return Chunk(
        chunk_id=stable_id(document.document_id, str(passage.start)),
        **{name: getattr(document, name) for name in fields},
        position=0,
        start=passage.start,
        end=passage.end,
        text=passage.text,
    )


def pair_with_llm(
    samples: Sequence[InstructionSample], recipe: DatasetsRecipe, client: LlmClient, counts: Counter[str]
) -> list[PreferenceSample]:
    """Pairs whose rejected side an LLM wrote (the base model, the model in training, any other behind the URL).

    Where it gave nothing, or the author's own text, the degraded rewrite stands in; `counts` tells.
    """
    requests = [
        Request(render_prompt("llm_response", instruction=s.instruction, words=count_words(s.output))) for s in samples
    ]
    pairs: list[PreferenceSample] = []
    fallback: list[tuple[InstructionSample, str]] = []
    for sample, outcome in zip(samples, client.ask_all(requests, TextReply, "rejected texts"), strict=True):
        if outcome.value is None:
            fallback.append((sample, f"rejected: degraded after {outcome.failure}"))
            continue
        text = outcome.value.text.strip()
        distance = word_distance(sample.output, text)
        if distance < 0.3:
            fallback.append((sample, "rejected: degraded after the author's own words"))
            continue
        counts["rejected: llm"] += 1
        reason = f"written by {client.model}, not by the author"
        pairs.append(make_pair(sample, text, "llm", reason, round(min(1.0, 0.5 + distance / 2), 3)))
    degraded = list(pair_degraded([sample for sample, _ in fallback], recipe.seed))
    made = {(pair.document_id, pair.chosen) for pair in degraded}
    for sample, label in fallback:  # each sample is counted once: by why it was degraded, or as left without a pair
        counts[label if (sample.document_id, sample.output) in made else "rejected: none, too alike"] += 1
    order = {(sample.document_id, sample.output): position for position, sample in enumerate(samples)}
    return sorted([*pairs, *degraded], key=lambda pair: order[pair.document_id, pair.chosen])


def judge_pairs(
    pairs: Sequence[PreferenceSample],
    author_texts: Sequence[str],
    client: LlmClient,
    seed: int,
    counts: Counter[str],
) -> list[PreferenceSample]:
    """An LLM's judgement of each pair, sides in random order: its confidence and reason replace the rules'.

    Pairs where it prefers the rejected side are dropped, those it could not judge stay as they are; `counts` tells.
    """
    firsts = [int(stable_id(str(seed), pair.sample_id), 16) % 2 == 0 for pair in pairs]
    requests = [
        _ask_ranking(
            pair.instruction,
            _show_author(author_texts, [pair.chosen]),
            [pair.chosen, pair.rejected] if first else [pair.rejected, pair.chosen],
        )
        for pair, first in zip(pairs, firsts, strict=True)
    ]
    judged: list[PreferenceSample] = []
    for pair, first, outcome in zip(pairs, firsts, client.ask_all(requests, RankingReply, "judging"), strict=True):
        ranking = outcome.value.ranking if outcome.value else []
        if sorted(ranking) != [1, 2]:
            counts[f"judged: not, {outcome.failure or 'no ranking'}"] += 1
            judged.append(pair)
        elif ranking[0] != (1 if first else 2):
            counts["judged: preferred the rejected"] += 1
        else:
            counts["judged: agreed"] += 1
            assert outcome.value is not None
            reason = f"{pair.reason}; {client.model}: {outcome.value.reason}".rstrip(": ")
            judged.append(pair.model_copy(update={"confidence": outcome.value.confidence, "reason": reason}))
    return judged


@dataclass(frozen=True)
class Ranked:
    """A model's ranking: positions best first, how sure it is of the first, and why."""

    order: list[int]
    confidence: float
    reason: str


def rank_responses(
    asked: Sequence[tuple[str, Sequence[str]]], author_texts: Sequence[str], client: LlmClient
) -> list[Ranked | None]:
    """The model's ranking of each instruction's responses, or None where it gave none that is one.

    The responses are shown in an order drawn by their content, so that no place is favoured, beside two texts of
    the author that are none of them.
    """
    requests = []
    orders = []
    for instruction, responses in asked:
        drawn = [stable_id("ranking", text) for text in responses]
        order = sorted(range(len(responses)), key=drawn.__getitem__)
        orders.append(order)
        samples = _show_author(author_texts, responses)
        requests.append(_ask_ranking(instruction, samples, [responses[i] for i in order]))
    found: list[Ranked | None] = []
    for order, outcome in zip(orders, client.ask_all(requests, RankingReply, "ranking"), strict=True):
        value = outcome.value
        if value is None or sorted(value.ranking) != list(range(1, len(order) + 1)):
            found.append(None)
            continue
        found.append(Ranked([order[number - 1] for number in value.ranking], value.confidence, value.reason.strip()))
    return found


def write_responses(samples: Sequence[InstructionSample], count: int, client: LlmClient) -> list[list[str]]:
    """Up to `count` different responses by the model to each sample's instruction; fewer where it failed."""
    requests = [
        Request(render_prompt("llm_response", instruction=s.instruction, words=count_words(s.output)), again=number)
        for s in samples
        for number in range(count)
    ]
    outcomes = client.ask_all(requests, TextReply, "responses")
    texts = [outcome.value.text.strip() if outcome.value else "" for outcome in outcomes]
    return [list(dict.fromkeys(text for text in texts[at : at + count] if text)) for at in range(0, len(texts), count)]


def _show_author(texts: Sequence[str], responses: Sequence[str]) -> list[str]:
    """Two of the author's texts that are none of the responses: a judge must not see the answer."""
    drawn = sorted(texts, key=lambda text: stable_id("shown", text))[: len(responses) + 2]
    return [text for text in drawn if text not in responses][:2]


def _ask_ranking(instruction: str, samples: list[str], responses: list[str]) -> Request:
    return Request(render_prompt("llm_judge", instruction=instruction, samples=samples, responses=responses))
