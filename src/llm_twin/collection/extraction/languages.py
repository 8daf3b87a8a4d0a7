"""Which language a text is in."""

from __future__ import annotations

from functools import cache
from typing import Any

MIN_LETTERS = 40
SAMPLE_CHARS = 1000  # a longer one takes longer and decides the same


@cache
def _detector() -> Any:
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


def detect_language(text: str) -> str | None:
    """The ISO 639-1 code of a text's language, or None for a text too short to tell."""
    sample = text[:SAMPLE_CHARS]
    if sum(character.isalpha() for character in sample) < MIN_LETTERS:
        return None
    found = _detector().detect_language_of(sample)
    return None if found is None else str(found.iso_code_639_1.name).lower()
