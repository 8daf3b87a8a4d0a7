"""Names of people, organisations, places and works in a text, by a spaCy pipeline of the reader's choice."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

from llm_twin.errors import InputError

# OntoNotes' and WikiNER's labels of things that have a name; the rest are numbers, dates and amounts.
NAMED = {"PERSON", "PER", "ORG", "GPE", "LOC", "FAC", "NORP", "PRODUCT", "EVENT", "WORK_OF_ART", "LAW", "MISC"}
UNUSED = ["parser", "tagger", "morphologizer", "lemmatizer", "attribute_ruler", "senter"]
MAX_CHARACTERS = 100_000  # of a document that are read: pipelines take memory by the text's length


def find_entities(text: str, pipeline: str, count: int = 20) -> list[str]:
    """The names that a text mentions, most often mentioned first, at most `count`.

    `pipeline` is the name of an installed spaCy pipeline or its folder. Raises InputError where there is none.
    """
    entities = _load(pipeline)(text[:MAX_CHARACTERS]).ents
    found = Counter(" ".join(entity.text.split()) for entity in entities if entity.label_ in NAMED)
    return [name for name, _ in sorted(found.items(), key=lambda one: (-one[1], one[0])) if name][:count]


@lru_cache(maxsize=2)
def _load(pipeline: str) -> Any:
    try:
        import spacy
    except ImportError as error:
        raise InputError(
            "`entities` among features.metadata needs spaCy", "pip install 'llm-twin[entities]'"
        ) from error
    try:
        return spacy.load(pipeline, exclude=UNUSED)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot load the spaCy pipeline {pipeline}: {reason}",
            f"python -m spacy download {pipeline}, or name a folder in features.entity_pipeline",
        ) from error
