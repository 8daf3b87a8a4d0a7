"""BM25's term weights against the formula, and what becomes a term."""

from __future__ import annotations

import pytest

from llm_twin.features.sparse import AVERAGE_TERMS, K1, B, split_terms, term_index, weigh_document, weigh_query


def test_terms_are_stems_without_stop_words() -> None:
    assert split_terms("The engines' running; it RUNS!") == ["engin", "run", "run"]
    assert split_terms("don't and won’t") == []
    assert split_terms("C3PO naïve 漢字") == ["c3po", "naïv", "漢字"]


def test_weights_are_bm25s() -> None:
    indices, values = weigh_document("tide tide clock")
    norm = K1 * (1 - B + B * 3 / AVERAGE_TERMS)
    assert dict(zip(indices, values, strict=True)) == pytest.approx(
        {term_index("tide"): 2 * (K1 + 1) / (2 + norm), term_index("clock"): (K1 + 1) / (1 + norm)}
    )


def test_repeating_a_term_gains_less_and_less() -> None:
    weights = [weigh_document("tide " * times)[1][0] for times in (1, 2, 4, 8, 16)]
    steps = [after - before for before, after in zip(weights, weights[1:], strict=False)]
    assert all(step > 0 for step in steps[:2])
    assert steps == sorted(steps, reverse=True)


def test_text_without_terms_has_no_weights() -> None:
    assert weigh_document("and the …") == ([], [])
    assert weigh_query({"tide": 0.0}) == ([], [])
