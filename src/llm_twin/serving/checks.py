"""The twin that evaluation checks: this package's answering around whichever candidate is being asked."""

from __future__ import annotations

from functools import partial

from llm_twin.documents import Author
from llm_twin.evaluation.answers import OpenTwin
from llm_twin.evaluation.retrieve import Retrieval
from llm_twin.recipe_serving import ServingRecipe
from llm_twin.recipes import EvaluationRecipe
from llm_twin.serving.answering import Asked, Source
from llm_twin.serving.in_process import open_twin
from llm_twin.serving.twins import Twin


def make_twin(author: Author, retrieval: Retrieval, recipe: EvaluationRecipe) -> OpenTwin:
    """The twin as it is served, with the evaluation's retrieval, support threshold and length of answers."""
    serving = ServingRecipe(
        retrieval=recipe.retrieval, min_support=recipe.min_support, max_new_tokens=recipe.max_new_tokens
    )

    def retrieve(asked: Asked, twin: Twin) -> list[Source]:
        hits = retrieval.search(asked.question)[: asked.top_k or recipe.retrieval.top_k]
        return [Source(hit.chunk, hit.score, hit.dense_score, hit.sparse_score) for hit in hits]

    return OpenTwin(partial(open_twin, author, retrieve, retrieval.encoder, serving))
