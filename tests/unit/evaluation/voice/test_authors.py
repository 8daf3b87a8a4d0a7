"""The joint gate on real authors, where LLM_TWIN_TEST_DATA holds `authors` and `handbook`: one test for each author."""

import os
from pathlib import Path

import pytest

from benchmarks.voice import read_all
from benchmarks.voice_gate import Findings, encode_topics, make_bench, try_author

WORDS, TEXTS, SEED = 100, 60, 20
AUTHORS = ("Maxime Labonne", "Paul Iusztin", "brandur", "burntsushi", "jakevdp", "matklad")
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def authors():
    folder = os.environ.get("LLM_TWIN_TEST_DATA")
    if not folder or not (Path(folder) / "authors").is_dir():
        pytest.skip("LLM_TWIN_TEST_DATA holds no folder `authors`")
    return read_all([Path(folder) / "authors", Path(folder) / "handbook"])


@pytest.fixture(scope="module")
def topics(authors):
    return encode_topics(authors, WORDS, SEED)


@pytest.mark.parametrize("author", AUTHORS)
def test_only_honest_text_of_the_author_passes_and_another_on_the_topic_scores_low(authors, topics, author):
    bench = make_bench(author, authors, topics, WORDS, TEXTS, SEED)
    found = Findings()
    try_author(bench, found, TEXTS, 1, SEED)
    assert found.fakes == 7 and found.passed == []
    assert found.honest[author].passes, found.honest[author].reasons
    assert found.topic_voice[author] < 50 < found.honest[author].score.mean - found.topic_voice[author]
    assert found.topic_auc[author] > 0.7
