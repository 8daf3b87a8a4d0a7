"""Documents written for these tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from llm_twin.documents import CleanDocument, Kind, Platform, stable_id

MakeDocument = Callable[..., CleanDocument]


@pytest.fixture
def make_document() -> MakeDocument:
    """A CleanDocument of a text; `number` gives it its address, date and title."""

    def make(
        text: str, number: int = 0, platform: Platform = "site", kind: Kind = "article", title: str = ""
    ) -> CleanDocument:
        url = f"https://author.example/{platform}/{number}"
        return CleanDocument(
            document_id=stable_id("author", url),
            revision_id=stable_id(text),
            author="author",
            platform=platform,
            kind=kind,
            url=url,
            title=title or f"Piece {number}",
            published=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number),
            text=text,
            retrieval_text=text,
        )

    return make


@pytest.fixture
def write_text() -> Callable[[int, int], str]:
    """Paragraphs of made-up words, different for each seed: (seed, paragraphs) → Markdown."""

    def write(seed: int, paragraphs: int) -> str:
        chance = random.Random(seed)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        words = ["".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(400)]

        def sentence() -> str:
            return " ".join(chance.choices(words, k=chance.randint(8, 16))).capitalize() + "."

        return "\n\n".join(" ".join(sentence() for _ in range(4)) for _ in range(paragraphs))

    return write
