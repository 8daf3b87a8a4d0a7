"""ragas' metrics that a language model judges, asked through this project's own bounded client.

Its client and not ragas' own: so that budget, cache, retries and the count of what went missing are the same for
every judge. `RAGAS_DO_NOT_TRACK` is set before ragas is imported: nothing phones home.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from llm_twin.evaluation.scores import RagasScores, Reply
from llm_twin.llm import LlmClient, Request

METRICS = ("faithfulness", "answer_relevancy", "context_precision", "context_relevance")


class NoReply(Exception):
    """The judge gave no usable reply; the message is the kind of failure."""


def judge_with_ragas(client: LlmClient, replies: Sequence[Reply], candidate: str, encoder: Any) -> RagasScores:
    """Score one candidate's replies by each metric of METRICS.

    A metric whose judge does not answer has no value for that question: it is counted by its kind, never 0. Raises
    ServiceError and BudgetError as the client does.
    """
    metrics = _make_metrics(client, encoder)
    missing: Counter[str] = Counter()
    values: dict[str, dict[str, float]] = {name: {} for name in metrics}

    async def score(name: str, reply: Reply, gate: asyncio.Semaphore) -> None:
        metric, arguments = metrics[name]
        async with gate:
            try:
                value = float((await metric.ascore(**arguments(reply, reply.texts[candidate]))).value)
            except NoReply as failure:
                missing[str(failure)] += 1
                return
        if math.isfinite(value):
            values[name][reply.question_id] = value
        else:
            missing["no value"] += 1

    async def score_all() -> None:
        gate = asyncio.Semaphore(client.recipe.concurrency)
        await asyncio.gather(*(score(name, reply, gate) for name in metrics for reply in replies))

    asyncio.run(score_all())
    ordered = {
        name: {r.question_id: found[r.question_id] for r in replies if r.question_id in found}
        for name, found in values.items()
    }
    return RagasScores(values=ordered, asked=len(metrics) * len(replies), missing=dict(sorted(missing.items())))


def _make_metrics(client: LlmClient, encoder: Any) -> dict[str, tuple[Any, Callable[[Reply, str], dict[str, Any]]]]:
    """Metric by name, with what it is asked of a reply."""
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    from ragas.embeddings.base import BaseRagasEmbedding
    from ragas.llms.base import InstructorBaseRagasLLM
    from ragas.metrics.collections import (
        AnswerRelevancy,
        ContextPrecisionWithoutReference,
        ContextRelevance,
        Faithfulness,
    )

    class Judge(InstructorBaseRagasLLM):
        """ragas' interface to a model, over the client."""

        def generate(self, prompt: str, response_model: type[Any]) -> Any:
            return asyncio.run(self.agenerate(prompt, response_model))

        async def agenerate(self, prompt: str, response_model: type[Any]) -> Any:
            outcome = await client.ask(Request(prompt), response_model)
            if outcome.value is None:
                raise NoReply(outcome.failure)
            return outcome.value

    class Embedder(BaseRagasEmbedding):
        """The encoder that retrieval uses."""

        def embed_text(self, text: str, **_: Any) -> list[float]:
            return [float(value) for value in encoder.encode([text])[0]]

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            return self.embed_text(text)

    judge = Judge()
    return {
        "faithfulness": (
            Faithfulness(llm=judge),
            lambda r, a: {"user_input": r.question, "response": a, "retrieved_contexts": r.passages},
        ),
        "answer_relevancy": (
            AnswerRelevancy(llm=judge, embeddings=Embedder(), strictness=1),
            lambda r, a: {"user_input": r.question, "response": a},
        ),
        "context_precision": (
            ContextPrecisionWithoutReference(llm=judge),
            lambda r, a: {"user_input": r.question, "response": a, "retrieved_contexts": r.passages},
        ),
        "context_relevance": (
            ContextRelevance(llm=judge),
            lambda r, a: {"user_input": r.question, "retrieved_contexts": r.passages},
        ),
    }
