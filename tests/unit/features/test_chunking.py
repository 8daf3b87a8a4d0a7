"""Chunks: exact spans, nothing lost, nothing too long, code whole, headings with them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_twin.documents import Chunk, CleanDocument
from llm_twin.embedding import load_encoder, load_tokenizer
from llm_twin.errors import InputError
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.context import MAX_BYTES, describe_place
from llm_twin.features.vectors import embedding_text
from llm_twin.recipes import FeaturesRecipe

TOKENIZER = load_tokenizer("all-MiniLM-L6-v2")
CODE = "```python\ndef first():\n    return 1\n\n\ndef second():\n    return 2\n```"
TEXT = f"""Opening words before any heading stand alone here.

# Tides

The moon pulls the sea. The sea answers late, and nobody minds. A clock would lag as well.

## Lag

{CODE}

It takes six hours. Then it turns around again and takes six more of them.

Locks
-----

Boats wait. Water rises slowly in the chamber until the gates can open again.
"""
EXPECTED = [(0, 151), (153, 229), (231, 305), (307, 397)]
CHUNKERS = ["structure", "sentences", "tokens", "sliding"]


def clean(text: str, **fields: object) -> CleanDocument:
    whole = {
        "document_id": "d", "revision_id": "r", "author": "a", "platform": "site", "kind": "article",
        "url": "https://example.org/d", "title": "Tides", "text": text, "retrieval_text": text,
    }  # fmt: skip
    return CleanDocument.model_validate(whole | fields)


def chunk(text: str, **recipe: object) -> list[Chunk]:
    return list(chunk_documents([clean(text)], FeaturesRecipe.model_validate(recipe)))


def count(text: str) -> int:
    return len(TOKENIZER.encode(text, add_special_tokens=False))


@pytest.mark.parametrize("chunker", CHUNKERS)
@pytest.mark.parametrize("max_tokens", [16, 40, 240])
def test_spans_are_exact_in_order_and_of_limited_size(chunker: str, max_tokens: int) -> None:
    chunks = chunk(TEXT, chunker=chunker, max_tokens=max_tokens)
    assert [one.position for one in chunks] == list(range(len(chunks)))
    for one in chunks:
        assert TEXT[one.start : one.end] == one.text == one.text.strip()
        assert count(one.text) <= max_tokens + 2  # a cut inside a run of signs may tokenize anew
    assert [one.start for one in chunks] == sorted(one.start for one in chunks)


@pytest.mark.parametrize("context", ["headings", "title", "none"])
@pytest.mark.parametrize("chunker", [*CHUNKERS, "semantic"])
def test_what_is_embedded_of_a_chunk_is_read_whole(chunker: str, context: str) -> None:
    encoder = load_encoder("all-MiniLM-L6-v2")
    sentence = "The moon pulls at the estuary, and the estuary answers late, as a clock would that nobody winds. "
    long = "On the lag of spring tides behind the moon in narrow estuaries, and what pilots made of it " * 4
    parts = [f"{'#' * level} {level}. {long[: 40 * level]}\n\n{sentence * 14}\n" for level in (1, 2, 3, 4, 2, 5)]
    document = clean(
        "\n".join([sentence * 5, *parts]), title="Tides of the northern estuaries, their pilots and clocks"
    )
    recipe = FeaturesRecipe.model_validate({"chunker": chunker, "context": context, "max_tokens": 240})
    chunks = list(chunk_documents([document], recipe, encoder))
    whole = [len(TOKENIZER.encode(embedding_text(one, context))) for one in chunks]
    assert max(whole) <= encoder.max_tokens
    if chunker != "semantic":
        assert max(whole) > 0.9 * recipe.max_tokens  # room is used where there is room
    assert {word for one in chunks for word in re.findall(r"\w+", one.text)} == set(re.findall(r"\w+", document.text))


@settings(max_examples=60, deadline=None)
@given(title=st.text(max_size=400), headings=st.lists(st.text(max_size=200), max_size=5))
def test_the_place_of_a_chunk_is_said_briefly(title: str, headings: list[str]) -> None:
    place = describe_place(title, headings, "headings")
    assert len(place.encode()) <= MAX_BYTES
    whole = " > ".join([*([title] if title else []), *(one for one in headings if one.casefold() != title.casefold())])
    assert place == whole or len(whole.encode()) > MAX_BYTES


def test_a_long_place_keeps_the_title_and_the_innermost_heading() -> None:
    place = describe_place("Tides", ["outer " * 30, "middle " * 20, "inner " * 20], "headings")
    assert place.startswith("Tides > middle") and place.endswith("inner ")


@pytest.mark.parametrize("chunker", CHUNKERS)
def test_no_word_is_lost(chunker: str) -> None:
    covered = [False] * len(TEXT)
    for one in chunk(TEXT, chunker=chunker, max_tokens=24):
        covered[one.start : one.end] = [True] * (one.end - one.start)
    lost = {character for character, is_covered in zip(TEXT, covered, strict=True) if not is_covered}
    assert not any(character.isalnum() for character in lost)


def test_structure_keeps_code_whole_and_carries_headings() -> None:
    chunks = chunk(TEXT, max_tokens=40)
    (code,) = [one for one in chunks if "def first" in one.text]
    assert CODE in code.text
    assert code.headings == ["Tides", "Lag"]
    assert next(one for one in chunks if "Boats wait" in one.text).headings == ["Tides", "Locks"]
    assert next(one for one in chunks if "Opening words" in one.text).headings == []


def test_structure_cuts_long_code_between_functions() -> None:
    functions = [f"def function_{at}(value):\n    return value + {at}\n" for at in range(12)]
    chunks = chunk("```python\n" + "\n\n".join(functions) + "```", max_tokens=48)
    assert len(chunks) > 2
    assert all(sum(body.strip() in one.text for one in chunks) == 1 for body in functions)


def test_overlap_repeats_whole_sentences() -> None:
    text = " ".join(f"Sentence number {at} says a little more than before." for at in range(20))
    chunks = chunk(text, chunker="sentences", max_tokens=40, overlap_tokens=12)
    for before, after in zip(chunks, chunks[1:], strict=False):
        assert before.end > after.start
        assert text[after.start :].startswith("Sentence number")


def test_semantic_parts_where_the_subject_changes() -> None:
    tides = "The moon raises the tide. The tide follows the moon around the sea. Spring tides come at full moon."
    bread = "Bread needs flour and salt. The dough rises with yeast. Bake the bread until its crust is brown."
    recipe = FeaturesRecipe(chunker="semantic", semantic_percentile=10)
    chunks = list(chunk_documents([clean(f"{tides} {bread}")], recipe, load_encoder("all-MiniLM-L6-v2")))
    assert [one.text for one in chunks] == [tides, bread]


def test_ids_follow_document_revision_settings_and_position_only() -> None:
    first = [one.chunk_id for one in chunk(TEXT)]
    assert first == [one.chunk_id for one in chunk(TEXT)]
    other = list(chunk_documents([clean(TEXT, revision_id="s")], FeaturesRecipe()))
    assert not set(first) & {one.chunk_id for one in other}
    assert not set(first) & {one.chunk_id for one in chunk(TEXT, max_tokens=200)}


def test_chunks_of_this_text_are_those_of_this_format() -> None:
    """If this fails on purpose, raise chunking.FORMAT, so that indexes are built anew, and mend the figures."""
    assert [(one.start, one.end) for one in chunk(TEXT, max_tokens=40)] == EXPECTED


def test_overlap_as_large_as_the_chunk_is_refused() -> None:
    with pytest.raises(InputError, match="overlap_tokens must be below max_tokens"):
        chunk(TEXT, max_tokens=40, overlap_tokens=40)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("ab .\n#`-=é漢🙂*>|~\t1"), max_size=400), chunker=st.sampled_from(CHUNKERS))
def test_any_text_gives_exact_spans(text: str, chunker: str) -> None:
    for one in chunk(text, chunker=chunker, max_tokens=16, overlap_tokens=4):
        assert text[one.start : one.end] == one.text
