"""Is what the twin says in its sources: support sentence by sentence, citations, relevancy; no judge needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_twin.documents import Chunk
from llm_twin.evaluation.known_items import KnownItem
from llm_twin.prompts import make_fence, render_prompt
from llm_twin.support import check_support, split_sentences


@dataclass(frozen=True)
class SourcedQuestion:
    """A question, the passages that retrieval found for it, and those that should be cited."""

    question_id: str
    text: str
    passages: list[Chunk]
    relevant: list[str]  # chunk ids


def make_questions(
    items: Sequence[KnownItem], found: Mapping[str, Sequence[str]], chunks: Mapping[str, Chunk], most: int, top_k: int
) -> list[SourcedQuestion]:
    """Questions from known items with the passages found for them."""
    return [
        SourcedQuestion(
            question_id=f"q{number}",
            text=f"What do you say about {item.query}?",
            passages=[chunks[chunk_id] for chunk_id in found[item.query][:top_k] if chunk_id in chunks],
            relevant=item.relevant,
        )
        for number, item in enumerate(items[:most])
    ]


def question_messages(question: SourcedQuestion, author: str) -> list[dict[str, str]]:
    """The conversation as serving would send it."""
    fence = make_fence(question.text, [passage.text for passage in question.passages])
    asked = render_prompt("twin_question", passages=question.passages, question=question.text, fence=fence)
    return [
        {"role": "system", "content": render_prompt("twin_system", author=author)},
        {"role": "user", "content": asked},
    ]


def measure_truth(
    questions: Sequence[SourcedQuestion], answers: Sequence[str], encoder: Any, min_support: float
) -> dict[str, dict[str, float]]:
    """Measure → question id → value, 0 to 1.

    faithfulness: share of the answer's sentences that its passages support. citation_precision: share of the
    citations that are of a relevant passage; citation_recall: whether any relevant passage is cited.
    answer_relevancy: cosine of question and answer. An empty answer counts 0 for faithfulness, and has no citations
    to be precise about.
    """
    measures: dict[str, dict[str, float]] = {
        name: {} for name in ("faithfulness", "citation_precision", "citation_recall", "answer_relevancy")
    }
    if not questions:
        return {}
    vectors = encoder.encode([*(q.text for q in questions), *(answer or " " for answer in answers)])
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        sentences = [sentence.text for sentence in split_sentences(answer)]
        checked = check_support(sentences, question.passages, encoder, min_support) if sentences else []
        cited = [citation.chunk_id for sentence in checked for citation in sentence.citations]
        key = question.question_id
        measures["faithfulness"][key] = sum(s.supported for s in checked) / len(checked) if checked else 0.0
        if cited:
            measures["citation_precision"][key] = sum(c in question.relevant for c in cited) / len(cited)
        measures["citation_recall"][key] = float(any(c in question.relevant for c in cited))
        relevancy = float(vectors[number] @ vectors[len(questions) + number])
        measures["answer_relevancy"][key] = max(0.0, relevancy) if answer else 0.0
    return {name: values for name, values in measures.items() if values}
