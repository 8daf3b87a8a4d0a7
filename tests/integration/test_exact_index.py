"""Where defaults are fitted: the exact index finds what the vector server finds, and queries stand nowhere in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.defaults import bootstrap, take_larger
from benchmarks.exact_index import check_agreement
from benchmarks.known_corpora import make_corpus
from llm_twin.embedding import Encoder, load_encoder
from llm_twin.recipe_serving import RetrievalRecipe
from tests.integration.vector_process import VectorProcess

SENTENCES = [
    "The moon pulls the {} sea and every tide follows it along the coast.",
    "Harbour gauges write the height of the {} water each hour of the day.",
    "Flour, salt and yeast make a {} dough that rests on the table overnight.",
    "The oven browns a {} crust while the crumb stays soft and open inside.",
    "A pendulum swings and the {} escapement counts the seconds of the clock.",
    "Winding the {} spring each evening keeps an old clock honest for years.",
]
WORDS = ["cold", "grey", "wide", "narrow", "patient", "early", "brass", "salty", "northern", "loud"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("all-MiniLM-L6-v2")


def write(folder: Path, paragraphs: int) -> Path:
    folder.mkdir()
    for number, word in enumerate(WORDS):
        lines = [
            " ".join(SENTENCES[(number + at + step) % len(SENTENCES)].format(word) for step in range(4))
            for at in range(paragraphs)
        ]
        (folder / f"{word}.md").write_text(f'+++\ntitle = "{word}"\n+++\n\n' + "\n\n".join(lines), encoding="utf-8")
    return folder


def test_the_exact_index_finds_what_the_server_finds(tmp_path: Path, encoder: Encoder) -> None:
    corpus = make_corpus(write(tmp_path / "long", 12), encoder, 12, 50)
    assert len(corpus.items) == 12
    assert all(item.hidden and not item.answers & set(item.hidden) for item in corpus.items)
    process = VectorProcess(tmp_path / "vectors")
    try:
        recipe = RetrievalRecipe(self_query="none", deduplicate=False)
        assert check_agreement(corpus.index, corpus.items, encoder, process.url, recipe) == 12
    finally:
        process.stop()


def test_a_short_document_lacks_the_sentence_asked_for(tmp_path: Path, encoder: Encoder) -> None:
    corpus = make_corpus(write(tmp_path / "short", 1), encoder, 6, 50)
    assert len(corpus.items) == 6
    texts = {chunk.chunk_id: chunk.text for chunk in corpus.index.chunks}
    for item in corpus.items:
        assert not item.hidden
        assert all(item.query not in texts[answer] for answer in item.answers)
    assert not any("title =" in text for text in texts.values())


def test_a_gain_is_as_sure_as_its_documents_agree() -> None:
    documents = [name for name in "abcdefghij" for _ in range(3)]
    low, high = bootstrap([0.1] * 30, [0.2] * 30, documents)
    assert low == pytest.approx(0.1) and high == pytest.approx(0.1)
    one_document = [0.9] * 3 + [0.1] * 27
    assert bootstrap([0.1] * 30, one_document, documents)[0] == pytest.approx(0)


def test_of_equals_the_larger_pool_is_taken_and_a_worse_is_not() -> None:
    start = RetrievalRecipe(candidates=50, pool=50)
    assert take_larger(start, lambda recipe: 0.4).pool == 100
    assert take_larger(start, lambda recipe: 0.4 - recipe.pool / 1000).pool == 50
