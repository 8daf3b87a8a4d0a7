"""Cleaning: what is left out is counted by its reason; views; duplicates do not depend on order."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llm_twin.documents import CleanDocument, Document, stable_id
from llm_twin.errors import InputError
from llm_twin.features.cleaning import CleaningReport, clean_documents, normalise_text, repair_encoding
from llm_twin.features.duplicates import DuplicateTable
from llm_twin.features.metadata import describe_text, find_topics
from llm_twin.features.report import render_report
from llm_twin.recipes import FeaturesRecipe

STORY = (
    "The keeper wound the clock each evening and wrote the height of the water into a ledger that nobody else was "
    "allowed to read, and when the storm came he wrote on as if the sea had asked him to."
)


def document(name: str, text: str, year: int = 2024, **fields: object) -> Document:
    url = f"https://example.org/{name}"
    whole = {
        "document_id": stable_id("a", url), "revision_id": stable_id(text), "author": "a", "platform": "site",
        "kind": "article", "url": url, "published": datetime(year, 1, 1, tzinfo=UTC), "text": text,
    }  # fmt: skip
    return Document.model_validate(whole | fields)


def test_reasons_are_counted_and_nothing_is_lost() -> None:
    report = CleaningReport()
    documents = [
        document("kept", STORY),
        document("copy", STORY.upper(), 2025),
        document("near", STORY + " Indeed.", 2026),
        document("short", "Too short."),
        document("german", "Der Wärter zog jeden Abend die Uhr auf und schrieb den Wasserstand in ein Buch."),
    ]
    kept = list(clean_documents(documents, FeaturesRecipe(languages=["en"]), report=report))
    assert [one.url for one in kept] == ["https://example.org/kept"]
    assert report.reasons == {"exact-duplicate": 1, "near-duplicate": 1, "too-short": 1, "language:de": 1}
    assert report.documents == report.kept + sum(report.reasons.values())
    page = render_report(report, kept)
    assert "near-duplicate" in page
    assert "https://example.org/near" in page


def test_kept_duplicates_do_not_depend_on_order() -> None:
    generator = random.Random(3)
    words = STORY.split()
    documents = []
    for at in range(24):
        changed = list(words)
        for _ in range(at % 4):
            changed[generator.randrange(len(changed))] = f"word{generator.randrange(5)}"
        documents.append(document(f"d{at}", " ".join(changed), 2000 + at % 5))
    recipe = FeaturesRecipe(near_duplicate_jaccard=0.6)
    expected = {one.url for one in clean_documents(documents, recipe)}
    assert 1 <= len(expected) < 24
    for _ in range(3):
        generator.shuffle(documents)
        assert {one.url for one in clean_documents(documents, recipe)} == expected


def test_table_kept_up_one_by_one_chooses_as_comparing_all_pairs_does() -> None:
    generator = random.Random(5)
    documents = []
    for at in range(30):
        words = [f"w{generator.randrange(12)}" for _ in range(20)] if at % 3 else ["same"] * 10 + [f"x{at % 6}"] * 3
        documents.append(document(f"d{at}", " ".join(words), 2000 + at % 4, language="en"))
    clean = list(clean_documents(documents, FeaturesRecipe(near_duplicate_jaccard=0)))
    clean += [one.model_copy(update={"document_id": f"copy-{at}"}) for at, one in enumerate(clean[::4])]
    table = DuplicateTable(0.5)
    for one in [*clean[10:], *clean]:
        table.put(one)
    assert set(table.choose_dropped()) == drop_by_all_pairs(clean, 0.5)
    table.remove("copy-0")
    assert set(table.choose_dropped()) == drop_by_all_pairs([one for one in clean if one.document_id != "copy-0"], 0.5)


def drop_by_all_pairs(documents: list[CleanDocument], min_jaccard: float) -> set[str]:
    """By definition: from the earliest on, a document stays unless it is like one that stays."""

    def pairs(one: CleanDocument) -> set[tuple[str, str]]:
        words = one.retrieval_text.lower().replace(".", "").split()
        return set(zip(words, words[1:], strict=False))

    stay: list[CleanDocument] = []
    dropped = set()
    for one in sorted(documents, key=lambda one: (one.published, one.document_id)):
        alike = [len(pairs(one) & pairs(other)) / len(pairs(one) | pairs(other)) for other in stay]
        if max(alike, default=0) >= min_jaccard:
            dropped.add(one.document_id)
        else:
            stay.append(one)
    return dropped


def test_zero_jaccard_keeps_near_duplicates_but_not_equal_ones() -> None:
    documents = [document("one", STORY), document("two", STORY + " Indeed."), document("three", STORY)]
    kept = list(clean_documents(documents, FeaturesRecipe(near_duplicate_jaccard=0)))
    assert len(kept) == 2


def test_views_mask_for_retrieval_and_keep_the_authors_punctuation() -> None:
    text = STORY + " He said “never” — write to keeper@lighthouse-mail.com\u00a0soon.\u200b"
    (clean,) = clean_documents([document("d", text)], FeaturesRecipe(), lambda _: "Ann Author")
    assert "“never” —" in clean.text
    assert "keeper@lighthouse-mail.com" in clean.text
    assert "keeper@lighthouse-mail.com" not in clean.retrieval_text
    assert "“never” —" in clean.retrieval_text
    assert "\u200b" not in clean.retrieval_text
    assert "\u00a0" not in clean.retrieval_text


@pytest.mark.parametrize(
    ("raw", "mended"),
    [("It costs â‚¬5 â€” truly", "It costs €5 — truly"), ("schÃ¶n", "schön"), ("“quoted”", "“quoted”")],
)
def test_encoding_is_mended(raw: str, mended: str) -> None:
    assert repair_encoding(raw) == mended


def test_normalising_twice_changes_nothing() -> None:
    text = "e\u0301 \r\n\n\n\n\nnext\x00 line \u00a0 \t\n```\n  code  stays\n```  "
    once = normalise_text(text)
    assert normalise_text(once) == once
    assert once.startswith("é")
    assert "  code  stays" in once


def test_metadata_groups_are_optional_and_measured() -> None:
    described = describe_text("One two three. Four five.\n\nSix.", ["sizes", "readability"])
    assert described["words"] == 6
    assert described["paragraphs"] == 2
    assert described["mean_sentence_words"] == 2.0
    assert describe_text("One two three.", []) == {}
    hard = "Organisational interoperability necessitates comprehensive institutional considerations."
    easy, difficult = (describe_text(text, ["readability"])["readability"] for text in ("The cat sat.", hard))
    assert easy > 100 > 0 > difficult


def test_topics_are_the_phrases_a_text_returns_to() -> None:
    text = "Tide gauges measure the sea. A tide gauge is slow. Old tide gauges rust; new tide gauges do not. " * 2
    topics = find_topics(text + "\n```\nfor loop in range\n```\n" * 9)
    assert topics[0] == "tide gauges"
    assert not any("loop" in one for one in topics)


def test_sentiment_is_of_the_sentences_and_not_of_code() -> None:
    bright, dark = (
        "I love this wonderful harbour. What a lovely day!",
        "The wreck was horrible. I hate the awful storm.",
    )
    assert describe_text(bright, ["sentiment"])["sentiment"] > 0.4
    assert describe_text(dark, ["sentiment"])["sentiment"] < -0.4
    assert describe_text("```\nhorrible = awful + hate\n```\n", ["sentiment"])["sentiment"] == 0.0


def test_entities_come_from_a_spacy_pipeline(tmp_path: Path) -> None:
    import spacy

    pipeline = spacy.blank("en")
    named = [("PERSON", "Odalys Fenwick"), ("GPE", "Hesk"), ("DATE", "March")]
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": label, "pattern": name} for label, name in named])
    pipeline.to_disk(tmp_path / "pipeline")
    text = "Odalys Fenwick went to Hesk in March. In Hesk it rained, write to keeper@lighthouse-mail.com. " + STORY
    recipe = FeaturesRecipe(metadata=["entities"], entity_pipeline=str(tmp_path / "pipeline"))
    (clean,) = clean_documents([document("d", text)], recipe)
    assert clean.metadata["entities"] == ["Hesk", "Odalys Fenwick"]
    with pytest.raises(InputError, match="cannot load the spaCy pipeline no-such-pipeline"):
        describe_text(text, ["entities"], "no-such-pipeline")
