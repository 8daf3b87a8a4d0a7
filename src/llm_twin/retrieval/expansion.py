"""Other words for the question: synonyms of its words, or phrasings that a language model gives."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

from pydantic import BaseModel

from llm_twin.llm.client import LlmClient
from llm_twin.prompts import render_prompt
from llm_twin.retrieval.asking import ask_one

ADDED_WEIGHT = 0.3  # of an added term beside the question's own, which weigh 1
MAX_PHRASINGS = 3
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


class Phrasings(BaseModel):
    """What the model replies: other ways to ask the same."""

    phrasings: list[str]


def find_synonyms(query: str) -> list[str]:
    """Words that mean the same as words or word pairs of the query, from the list that ships."""
    words = [word.casefold() for word in _WORD.findall(query)]
    pairs = [" ".join(pair) for pair in zip(words, words[1:], strict=False)]
    table = _read_synonyms()
    found = [other for phrase in [*words, *pairs] for other in table.get(phrase, ()) if other not in words]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _read_synonyms() -> dict[str, list[str]]:
    """Phrase → the others of its group; one group a line, commas between."""
    table: dict[str, list[str]] = {}
    lines = resources.files("llm_twin.retrieval").joinpath("synonyms.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            group = [phrase.strip() for phrase in line.split(",")]
            for phrase in group:
                table.setdefault(phrase, []).extend(other for other in group if other != phrase)
    return table


def ask_phrasings(query: str, llm: LlmClient) -> list[str]:
    """Other phrasings from a language model; none where it gives no usable reply (the search goes on without)."""
    reply = ask_one(llm, render_prompt("expand_query", question=query, count=MAX_PHRASINGS), Phrasings)
    return reply.phrasings[:MAX_PHRASINGS] if reply else []
