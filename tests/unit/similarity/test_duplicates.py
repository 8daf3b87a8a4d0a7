"""Duplicates: against a slow count of all pairs, and by properties."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_twin.similarity.duplicates import find_duplicates, join_groups, keep_best
from llm_twin.similarity.overlap import RunIndex
from llm_twin.similarity.tokens import SHINGLE_WORDS, hash_words, normalise_words


def jaccard(first: str, second: str) -> float:
    """By the book, over sets of two-word shingles."""
    sets = []
    for text in (first, second):
        words = normalise_words(text)
        sets.append({tuple(words[i : i + SHINGLE_WORDS]) for i in range(max(len(words) - SHINGLE_WORDS + 1, 1))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def make_texts(seed: int, count: int) -> list[str]:
    """Texts of 60 words, a third of them copies with some words changed."""
    chance = random.Random(seed)
    words = [f"w{n}" for n in range(500)]
    texts: list[str] = []
    for _ in range(count):
        if texts and chance.random() < 0.35:
            copied = chance.choice(texts).split()
            for _ in range(chance.randint(0, 14)):
                copied[chance.randrange(len(copied))] = chance.choice(words)
            texts.append(" ".join(copied))
        else:
            texts.append(" ".join(chance.choices(words, k=60)))
    return texts


def test_pairs_and_their_similarity_are_those_of_the_slow_way() -> None:
    texts = make_texts(1, 140)
    found = find_duplicates(texts, 0.7)
    slow = {
        (a, b): score
        for a, b in itertools.combinations(range(len(texts)), 2)
        if (score := jaccard(texts[a], texts[b])) >= 0.7
    }
    equal = {pair for group in found.exact_groups for pair in itertools.combinations(group, 2)}
    near = {(pair.first, pair.second): pair.jaccard for pair in found.near_pairs}
    assert near.keys() | equal <= slow.keys()  # verified: no false pair
    assert all(abs(slow[pair] - score) < 1e-12 for pair, score in near.items())
    leaders = {at: min(group) for group in found.exact_groups for at in group}
    reached = {(leaders.get(a, a), leaders.get(b, b)) for a, b in slow if leaders.get(a, a) != leaders.get(b, b)}
    hit = {tuple(sorted(pair)) for pair in reached} & near.keys()
    assert len(hit) >= 0.99 * len({tuple(sorted(pair)) for pair in reached})


def test_case_punctuation_apostrophes_and_spaces_do_not_matter_for_equality() -> None:
    texts = ["It’s low — water, again!", "IT'S low water\n\nagain", "its low water again?", "it is low water again", ""]
    found = find_duplicates([*texts, "", "—"], 0.9)
    assert found.exact_groups == [[0, 1, 2]]  # texts without words are nobody's duplicate


def test_the_result_does_not_depend_on_what_else_is_there() -> None:
    texts = make_texts(2, 60)
    alone = {(p.first, p.second) for p in find_duplicates(texts, 0.6).near_pairs}
    among = {(p.first, p.second) for p in find_duplicates(texts + make_texts(3, 200), 0.6).near_pairs}
    assert {pair for pair in among if pair[1] < 60} == alone


def test_many_equal_texts_are_one_group_and_cost_no_square() -> None:
    found = find_duplicates(["the same words in each of them"] * 5000 + ["other words altogether here"], 0.5)
    assert [len(group) for group in found.exact_groups] == [5000] and not found.near_pairs


def test_of_a_cluster_the_better_is_kept() -> None:
    texts = ["short", "the longest of them", "middle one"]
    assert keep_best([[0, 1, 2]], lambda at: (len(texts[at]),)) == {0: 1, 2: 1}
    assert keep_best([[3, 5]], lambda at: (0,)) == {5: 3}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
def test_groups_are_the_connected_ones(links: list[tuple[int, int]]) -> None:
    groups = join_groups(20, links)
    label = {at: number for number, group in enumerate(groups) for at in group}
    assert len(label) == sum(map(len, groups))
    for a, b in links:
        assert a == b or label[a] == label[b]
    for group in groups:  # reachable by links alone
        seen, todo = set(), [group[0]]
        while todo:
            at = todo.pop()
            seen.add(at)
            todo += [y for x, y in [*links, *((b, a) for a, b in links)] if x == at and y not in seen]
        assert seen == set(group)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_ascii_has_a_short_way_that_says_the_same(text: str) -> None:
    plain = "".join(char for char in text if char.isascii())
    assert normalise_words(plain) == normalise_words(plain + " é")[: len(normalise_words(plain))]


def test_word_hashes_are_the_same_everywhere() -> None:
    assert hash_words([b"tide", b"gauge"])[0] == 0x31D979D1232410D


def test_shared_runs_are_found_wherever_they_stand() -> None:
    index = RunIndex(["the gauge has been dry since march and nobody said so", "short"])
    assert index.first_shared_run("As I said: The gauge HAS been dry, since March; and so on.", 6) == (
        "the gauge has been dry since"
    )
    assert index.first_shared_run("the gauge has been wet since march and nobody", 6) == ""
    assert index.share("Short!", 6) == 1.0 and index.share("", 6) == 0.0
    assert not RunIndex([]).shared_runs("anything at all", 2).any()
