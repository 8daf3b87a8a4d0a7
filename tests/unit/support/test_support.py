"""Support of sentences: what counts, where it points, and what takes it away."""

from __future__ import annotations

import pytest

from llm_twin.documents import Chunk
from llm_twin.embedding import load_encoder
from llm_twin.support import check_support, extract_answer, split_sentences

TEXT = """## Winding

I wind the clock every 8 days, on Sunday morning, before the kettle. Mr. Harrow told me in 1998 that a clock
kept by one hand keeps better time. I never oil the pallets.

- Beat errors show in the first minute.
- A mainspring costs 40 pounds."""
CHUNK = Chunk(
    chunk_id="1", document_id="d", revision_id="r", author="a", platform="site", kind="article",
    url="https://x.example/1", title="Keeping time", position=0, start=100, end=100 + len(TEXT), text=TEXT,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("all-MiniLM-L6-v2")


def test_sentences_keep_their_exact_place():
    found = split_sentences(TEXT)
    assert [TEXT[s.start : s.end] for s in found] == [s.text for s in found]
    assert found[0].text == "Winding" and found[-1].text == "A mainspring costs 40 pounds."
    assert any(s.text.startswith("Mr. Harrow told me in 1998") for s in found)


@pytest.mark.parametrize(
    ("sentence", "supported"),
    [
        ("I wind the clock every eight days.", True),
        ("I wind the clock every 7 days.", False),
        ("I never oil the pallets.", True),
        ("I always oil the pallets.", False),
        ("A mainspring costs forty pounds.", True),
        ("A clock kept by a single hand keeps better time, Harrow said.", True),
        ("A clock kept by a single hand keeps better time, Lovelace said.", False),
        ("The moon is made of cheese.", False),
    ],
)
def test_numbers_names_and_negations_decide(encoder, sentence, supported):
    (judged,) = check_support([sentence], [CHUNK], encoder, 0.6)
    assert judged.supported is supported
    for citation in judged.citations:
        assert TEXT[citation.start - 100 : citation.end - 100] == citation.quote


def test_an_extract_is_the_authors_own_words_best_first_found(encoder):
    found = extract_answer("How often do you wind the clock?", [CHUNK], encoder)
    assert "every 8 days" in found[0].text
    assert all(" ".join(c.quote.split()) == s.text for s in found for c in s.citations)


def test_nothing_gives_nothing(encoder):
    assert extract_answer("Anything?", [], encoder) == []
    assert check_support(["A sentence."], [], encoder, 0.6)[0].supported is False
