"""Metadata of a document's text: sizes, readability, topics; each group chosen in the recipe."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from llm_twin.features.stopwords import STOPWORDS
from llm_twin.support import split_sentences

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_PHRASE_END = re.compile(r"[^\w\s'’-]+|\n\s*\n")
_VOWELS = re.compile(r"[aeiouy]+")


def describe_text(text: str, groups: Sequence[str]) -> dict[str, Any]:
    """The chosen groups of metadata: sizes, readability, topics."""
    described: dict[str, Any] = {}
    if "sizes" in groups:
        described |= measure_sizes(text)
    if "readability" in groups:
        described["readability"] = measure_readability(text)
    if "topics" in groups:
        described["topics"] = find_topics(text)
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


def find_topics(text: str, count: int = 5) -> list[str]:
    """The phrases of one to three content words that the text comes back to most, lower case.

    A phrase counts by its occurrences times its length in words; code blocks are left out. Phrases of words that a
    chosen phrase holds are passed over.
    """
    prose = _FENCED.sub(" ", text)
    counts: Counter[tuple[str, ...]] = Counter()
    for run in _PHRASE_END.split(prose.lower()):
        words = _WORD.findall(run)
        for size in (1, 2, 3):
            for at in range(len(words) - size + 1):
                phrase = tuple(words[at : at + size])
                if all(len(word) > 2 and word not in STOPWORDS for word in phrase):
                    counts[phrase] += 1
    weighed = sorted(
        ((times * len(phrase), phrase) for phrase, times in counts.items() if times > 1),
        key=lambda one: (-one[0], one[1]),
    )
    chosen: list[tuple[str, ...]] = []
    for _, phrase in weighed:
        if not any(set(phrase) & set(other) for other in chosen):
            chosen.append(phrase)
        if len(chosen) == count:
            break
    return [" ".join(phrase) for phrase in chosen]
