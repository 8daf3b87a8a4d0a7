"""Splits: by document, in proportion, the same for the same seed, and never through one piece of writing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from llm_twin.datasets.splits import group_documents, split_documents
from llm_twin.documents import CleanDocument
from llm_twin.recipes import DatasetsRecipe

Make = Callable[..., CleanDocument]
Write = Callable[[int, int], str]


def make_corpus(make_document: Make, write_text: Write) -> list[CleanDocument]:
    return [make_document(write_text(n, 3), n) for n in range(20)] + [
        make_document(write_text(100 + n, 1), n, "linkedin", "post") for n in range(50)
    ]


def test_each_platform_and_kind_gives_its_share(make_document: Make, write_text: Write) -> None:
    documents = make_corpus(make_document, write_text)
    splits = split_documents(documents, DatasetsRecipe())
    found = Counter((d.platform, splits[d.document_id]) for d in documents)
    assert (found["site", "test"], found["linkedin", "test"]) == (4, 10)
    assert (found["site", "validation"], found["linkedin", "validation"]) == (2, 5)


def test_the_same_seed_gives_the_same_splits_in_any_order(make_document: Make, write_text: Write) -> None:
    documents = make_corpus(make_document, write_text)
    splits = split_documents(documents, DatasetsRecipe())
    shuffled = random.Random(1).sample(documents, len(documents))
    assert split_documents(shuffled, DatasetsRecipe()) == splits
    assert split_documents(documents, DatasetsRecipe(seed=21)) != splits


def test_at_least_twelve_test_documents_of_enough(make_document: Make, write_text: Write) -> None:
    documents = [make_document(write_text(n, 1), n) for n in range(40)]
    count = Counter(split_documents(documents, DatasetsRecipe(test_share=0.05)).values())
    assert count["test"] == 12
    few = Counter(split_documents(documents[:10], DatasetsRecipe()).values())
    assert few == {"train": 5, "validation": 1, "test": 4}
    assert set(split_documents(documents[:2], DatasetsRecipe()).values()) == {"train"}


def test_by_time_the_newest_are_held_out(make_document: Make, write_text: Write) -> None:
    documents = make_corpus(make_document, write_text)
    recipe = DatasetsRecipe(split_by="time", min_test_documents=0)
    splits = split_documents(documents, recipe)
    for platform in ("site", "linkedin"):
        dates = {
            name: [d.published for d in documents if d.platform == platform and splits[d.document_id] == name]
            for name in ("train", "validation", "test")
        }
        assert max(dates["train"]) < min(dates["validation"]) < max(dates["validation"]) < min(dates["test"])


def test_a_cross_post_stays_with_its_original(make_document: Make, write_text: Write) -> None:
    documents = make_corpus(make_document, write_text)
    copies = [make_document("Also on my site.\n\n" + d.text, 900 + n, "medium") for n, d in enumerate(documents[:15])]
    groups = group_documents([*documents, *copies])
    assert sum(len(group) == 2 for group in groups) == 15
    for seed in range(5):
        splits = split_documents([*documents, *copies], DatasetsRecipe(seed=seed))
        for original, copy in zip(documents[:15], copies, strict=True):
            assert splits[original.document_id] == splits[copy.document_id]


def test_a_greeting_that_all_share_binds_no_documents(make_document: Make, write_text: Write) -> None:
    greeting = "Welcome back to the weekly letter about tides, gauges and the people who read them for a living.\n\n"
    documents = [make_document(greeting + write_text(n, 2), n) for n in range(12)]
    assert all(len(group) == 1 for group in group_documents(documents))
