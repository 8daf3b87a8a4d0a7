"""Metadata of a document's text: sizes, readability; each group chosen in the recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llm_twin.support import split_sentences

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_VOWELS = re.compile(r"[aeiouy]+")


def describe_text(text: str, groups: Sequence[str]) -> dict[str, Any]:
    """The chosen groups of metadata: sizes, readability, topics, entities, sentiment."""
    described: dict[str, Any] = {}
    if "sizes" in groups:
        described |= measure_sizes(text)
    if "readability" in groups:
        described["readability"] = measure_readability(text)
    return described


def measure_sizes(text: str) -> dict[str, Any]:
    """Words, characters, paragraphs, and the mean sentence length in words."""
    words = len(_WORD.findall(text))
    sentences = max(len(split_sentences(text)), 1)
    paragraphs = sum(1 for part in re.split(r"\n\s*\n", text) if part.strip())
    return {
        "words": words,
        "characters": len(text),
        "paragraphs": paragraphs,
        "mean_sentence_words": round(words / sentences, 1),
    }


def measure_readability(text: str) -> float:
    """Flesch reading ease (Flesch 1948), English: 100 very easy, 30 very hard; syllables by groups of vowels."""
    words = _WORD.findall(text.lower())
    if not words:
        return 0.0
    syllables = sum(max(len(_VOWELS.findall(word)) - word.endswith("e"), 1) for word in words)
    sentences = max(len(split_sentences(text)), 1)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 1)
