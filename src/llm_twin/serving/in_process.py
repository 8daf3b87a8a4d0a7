"""The twin without servers: the same answering as theirs around a model of this process, for checks of its behaviour.

Passages may be slipped in among those retrieved, which no server lets anyone do: so a poisoned document can be tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from llm_twin.documents import Answer, Author, Chunk
from llm_twin.recipe_serving import ServingRecipe
from llm_twin.serving.answering import Asked, Parts, Source
from llm_twin.serving.asking import answer_question
from llm_twin.serving.predictor_client import Draft
from llm_twin.serving.twins import Twin

Generate = Callable[[list[dict[str, str]], int], str]  # messages and most new tokens → text
Retrieve = Callable[[Asked, Twin], list[Source]]


class LocalPredictor:
    """What answering asks of a predictor, by a function of this process."""

    def __init__(self, generate: Generate) -> None:
        self.generate = generate

    async def chat(self, body: dict[str, Any], request_id: str = "", hedging: Any = None) -> Draft:
        """One completion of a chat completion request."""
        return Draft([self.generate(body["messages"], int(body["max_tokens"]))], ["stop"])


@contextmanager
def open_twin(
    author: Author, retrieve: Retrieve, encoder: Any, recipe: ServingRecipe, generate: Generate, context_tokens: int
) -> Iterator[Callable[[str, Sequence[Chunk]], Answer]]:
    """A function from a question, and passages slipped in before those retrieved, to the twin's Answer."""
    twin = Twin(name=author.id, author=author, serving=recipe)
    predictor: Any = LocalPredictor(generate)
    with ThreadPoolExecutor(max_workers=1) as pool:

        def ask(question: str, slipped_in: Sequence[Chunk]) -> Answer:
            def retrieve_all(asked: Asked, of: Twin) -> list[Source]:
                poisoned = [Source(chunk, 1.0, 1.0) for chunk in slipped_in]
                return [*poisoned, *retrieve(asked, of)]

            parts = Parts(predictor, retrieve_all, encoder, pool, context_tokens=context_tokens)
            return asyncio.run(answer_question(Asked(question), twin, parts))

        yield ask
