"""Retrieval's steps one by one: fusion, feedback, self-query, duplicates, diversity, rerank, compression, context."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from llm_twin.documents import Chunk
from llm_twin.errors import InputError, ModelError
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.compression import build_context
from llm_twin.retrieval.diversity import diversify, drop_duplicates
from llm_twin.retrieval.expansion import find_synonyms
from llm_twin.retrieval.feedback import expand_terms, expand_vector
from llm_twin.retrieval.fusion import fuse, fuse_ranks, fuse_weighted
from llm_twin.retrieval.known_items import KnownItem, find_subjects, make_known_items
from llm_twin.retrieval.records import Hit
from llm_twin.retrieval.rerank import judge_pairs, smooth_scores
from llm_twin.retrieval.search import MAX_QUERY_CHARACTERS, check_query
from llm_twin.retrieval.selfquery import read_filters
from llm_twin.retrieval.tuning import GRID, assign_folds, held_out_gain


def hit(name: str, score: float, vector: list[float] | None = None, **fields: object) -> Hit:
    whole = {
        "chunk_id": name, "document_id": f"d-{name}", "revision_id": "r", "author": "a", "platform": "site",
        "kind": "article", "url": f"https://example.org/{name}", "position": 0, "start": 0, "end": 4,
        "text": f"Passage {name} says something.",
    }  # fmt: skip
    unit = None if vector is None else np.array(vector, np.float32) / np.linalg.norm(vector)
    return Hit(Chunk.model_validate(whole | fields), score, vector=unit)


def names(hits: list[Hit]) -> list[str]:
    return [one.chunk.chunk_id for one in hits]


def test_weighted_fusion_by_hand() -> None:
    fused = fuse_weighted({"a": 0.9, "b": 0.5, "c": 0.1}, {"b": 8.0, "d": 4.0}, 0.75)
    assert fused == pytest.approx({"a": 0.75, "b": 0.375 + 0.25, "c": 0.0, "d": 0.0})
    assert fuse_weighted({"a": 0.3}, {}, 0.5) == {"a": 0.5}


def test_rank_fusion_by_hand_and_order_of_ties() -> None:
    assert fuse_ranks([["a", "b"], ["b"]]) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61})
    fused = fuse({"z": 1.0, "y": 1.0}, {}, RetrievalRecipe(fusion="dense"))
    assert list(fused) == ["y", "z"]


def test_vector_moves_towards_what_was_found() -> None:
    query = np.array([1.0, 0.0], np.float32)
    moved = expand_vector(query, [[0.0, 1.0]], [0.3], 0.5)
    assert moved == pytest.approx([2**-0.5, 2**-0.5])
    assert expand_vector(query, [], [], 0.5) is query


def test_the_better_found_moves_the_vector_more() -> None:
    moved = expand_vector(np.array([1.0, 0.0, 0.0], np.float32), [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [3.0, 1.0], 0.5)
    assert moved[1] == pytest.approx(3 * moved[2])
    assert np.linalg.norm(moved) == pytest.approx(1)


def test_rm3_keeps_the_question_and_adds_what_the_found_texts_share() -> None:
    expanded = expand_terms({"tide": 1.0}, ["moon moon sea", "moon harbour"], [3.0, 1.0], 1, 0.4)
    assert expanded == pytest.approx({"tide": 0.6, "moon": 0.4})
    assert expand_terms({"tide": 2.0}, [], [], 5, 0.4) == pytest.approx({"tide": 0.6})


@pytest.mark.parametrize(
    ("question", "filters"),
    [
        ("What did you write on LinkedIn about tides?", {"platform": ["linkedin"]}),
        ("in your newsletter, what is said of clocks", {"platform": ["substack"]}),
        ("Which of my articles are about locks?", {"kind": ["article"]}),
        ("articles about locks from 2021", {"after": 2021, "before": 2022}),
        ("what changed since 2020", {"after": 2020}),
        ('what is said under the topic "Tide Gauges"?', {"topics": ["tide gauges"]}),
        ("How do I blog?", {}),
        ("why does the medium matter in a letter", {}),
        ("what happened in 1953", {}),
    ],
)
def test_filters_are_read_only_where_the_question_names_them(question: str, filters: dict) -> None:
    expected = {key: value for key, value in filters.items() if key in ("platform", "kind", "topics")}
    if "after" in filters:
        expected["published_after"] = datetime(filters["after"], 1, 1, tzinfo=UTC)
    if "before" in filters:
        expected["published_before"] = datetime(filters["before"], 1, 1, tzinfo=UTC)
    assert read_filters(question) == expected


def test_synonyms_of_words_and_pairs() -> None:
    assert "postgresql" in find_synonyms("Is Postgres slow?")
    assert {"llm", "large language model"} <= set(find_synonyms("a language model for me"))
    assert find_synonyms("tides") == []


def test_duplicates_and_older_revisions_go() -> None:
    hits = [
        hit("a", 0.9, [1, 0, 0]),
        hit("b", 0.8, [1, 0.01, 0]),  # as good as the same direction
        hit("c", 0.7, [0, 1, 0], text="Passage a  says SOMETHING."),  # the same words
        hit("d", 0.6, [0, 0, 1], document_id="d-a", revision_id="older"),
        hit("e", 0.5, [0, 1, 1]),
    ]
    assert names(drop_duplicates(hits)) == ["a", "e"]


def test_diversity_passes_over_what_is_like_the_chosen() -> None:
    hits = [hit("a", 1.0, [1, 0]), hit("b", 0.95, [1, 0.05]), hit("c", 0.6, [0, 1]), hit("d", 0.0, [1, 1])]
    assert names(diversify(hits, 0.5, 2)) == ["a", "c"]
    assert names(diversify(hits, 0.0, 2)) == ["a", "b"]
    assert diversify([], 0.5, 2) == []


def test_neighbours_lift_a_hit_among_good_ones() -> None:
    vectors = np.array([[1, 0], [0.99, 0.1], [0, 1], [0.1, 0.99]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    smoothed = smooth_scores(np.array([1.0, 0.4, 0.5, 0.0]), vectors, 0.3, 1)
    assert smoothed == pytest.approx([0.82, 0.58, 0.35, 0.15])


def test_missing_cross_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="cannot load the cross-encoder .*nowhere"):
        judge_pairs("/nowhere/cross-encoder", "q", ["t"])


def test_context_fits_numbers_and_cuts_only_the_first() -> None:
    def count(text: str) -> int:
        return len(text.split())

    long = hit("a", 1.0, text="One two three four five. " * 20)
    context = build_context([long, hit("b", 0.5)], 40, count)
    assert context.tokens <= 40
    assert context.text.startswith("[1] (https://example.org/a)\nOne two three")
    assert context.text.endswith(".")
    both = build_context([hit("a", 1.0), hit("b", 0.5)], 100, count)
    assert "[2] (https://example.org/b)" in both.text
    assert names(both.hits) == ["a", "b"]


def test_compressed_text_is_what_was_kept() -> None:
    one = hit("a", 1.0, text="First part. Second part. Third.", start=100, end=131)
    one.kept = [(100, 111), (125, 131)]
    assert one.text == "First part. … Third."


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("x" * 100_000, f"100,000 characters; at most {MAX_QUERY_CHARACTERS:,}"),
        ("tide\x00clock", "control characters"),
        ("tide\x1b[31m", "control characters"),
    ],
)
def test_bad_queries_are_named(query: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_query(query)


def test_known_items_leave_out_their_source() -> None:
    text = "The keeper wound the clock each evening at six. He wrote the height of the water down."
    chunks = [
        hit(f"{document}-{at}", 0, document_id=document, position=at, text=text).chunk
        for document in ("one", "two", "three")
        for at in range(2 if document != "three" else 1)
    ]
    items = make_known_items(chunks, 10)
    assert [item.document_id for item in items].count("one") == [item.document_id for item in items].count("two") == 2
    assert all(item.query in text for item in items)
    for item in items:
        assert {*item.hidden, *item.answers} == {f"{item.document_id}-{at}" for at in range(2)}
        assert len(item.hidden) == 1
    assert make_known_items(chunks, 10) == items
    assert {item.document_id for item in make_known_items(chunks, 2)} == {"one", "two"}  # each before any twice


def test_a_query_is_prose_that_names_a_subject() -> None:
    assert find_subjects("This is what it was and so it will be. The keeper wound the old clock each evening.") == [
        "The keeper wound the old clock each evening."
    ]
    assert find_subjects("let clock = keeper.wind(&mut evening[0..6], tide::HEIGHT) || harbour << 12 + lock * 3;") == []


def test_gain_counts_only_where_the_other_folds_agree() -> None:
    folds = [at % 5 for at in range(10)]
    assert held_out_gain([0.0] * 10, [1.0] * 10, folds) == 1.0
    assert held_out_gain([1.0] * 10, [0.0] * 10, folds) == 0.0
    lucky = [1.0, *[0.0] * 9]  # one query alone gains: without it nothing does
    assert held_out_gain([0.0] * 10, lucky, folds) == 0.0


def test_a_documents_queries_are_held_out_together() -> None:
    items = [KnownItem("q", document, (), frozenset()) for document in ("a", "b", "a", "c", "b")]
    assert assign_folds(items) == [0, 1, 0, 2, 1]


def test_tuning_looks_on_both_sides_of_each_default() -> None:
    """Else a corpus that asks for more than the default could not get it, nor return to it."""
    recipe = RetrievalRecipe()
    for name, values in GRID.items():
        default = getattr(recipe, name)
        assert default in values
        if not isinstance(default, str | bool):
            assert values == sorted(values) and values[0] < default < values[-1], name
