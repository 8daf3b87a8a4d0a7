"""Metadata of a document's text: sizes, readability, topics, sentiment, entities; each chosen in the recipe."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from llm_twin.features.stopwords import STOPWORDS
from llm_twin.support import split_sentences

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_WORD_OR_END = re.compile(rf"({_WORD.pattern})|[^\w\s'’-]+|\n\s*\n")
_BLANK_LINES = re.compile(r"\n\s*\n")
_VOWELS = re.compile(r"[aeiouy]+")


def describe_text(text: str, groups: Sequence[str], entity_pipeline: str = "") -> dict[str, Any]:
    """The chosen groups of metadata: sizes, readability, topics, sentiment, entities (see entities.py for errors)."""
    described: dict[str, Any] = {}
    if "sizes" in groups or "readability" in groups:
        words = _WORD.findall(text)
        sentences = max(len(split_sentences(text)), 1)
        if "sizes" in groups:
            described |= {
                "words": len(words),
                "characters": len(text),
                "paragraphs": sum(1 for part in _BLANK_LINES.split(text) if part.strip()),
                "mean_sentence_words": round(len(words) / sentences, 1),
            }
        if "readability" in groups:
            described["readability"] = measure_readability(words, sentences)
    if "topics" in groups:
        described["topics"] = find_topics(text)
    if "sentiment" in groups:
        described["sentiment"] = measure_sentiment(text)
    if "entities" in groups:
        from llm_twin.features.entities import find_entities

        described["entities"] = find_entities(text, entity_pipeline)
    return described


def measure_sentiment(text: str) -> float:
    """Mean over the sentences of VADER's compound score (Hutto and Gilbert 2014), English: -1 dark … 1 bright.

    Sentence by sentence, because the score of a long text runs to one of its ends. Code is left out.
    """
    sentences = split_sentences(_FENCED.sub(" ", text))
    if not sentences:
        return 0.0
    scores = [_sentiment().polarity_scores(sentence.text)["compound"] for sentence in sentences]
    return round(sum(scores) / len(scores), 3)


@lru_cache(maxsize=1)
def _sentiment() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def measure_readability(words: Sequence[str], sentences: int) -> float:
    """Flesch reading ease (Flesch 1948), English: 100 very easy, 30 very hard."""
    if not words:
        return 0.0
    syllables = sum(_count_syllables(word.lower()) for word in words)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 1)


@lru_cache(maxsize=50_000)
def _count_syllables(word: str) -> int:
    """Groups of vowels, a last silent e left out."""
    return max(len(_VOWELS.findall(word)) - word.endswith("e"), 1)


def find_topics(text: str, count: int = 5) -> list[str]:
    """The phrases of one to three content words that the text comes back to most, lower case.

    A phrase counts by its occurrences times its length in words; code blocks are left out. Phrases of words that a
    chosen phrase holds are passed over.
    """
    phrases: list[tuple[str, ...]] = []
    for content in _content_runs(_FENCED.sub(" ", text).lower()):
        for size in (1, 2, 3):
            phrases += zip(*(content[at:] for at in range(size)), strict=False)
    counts = Counter(phrases)
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


def _content_runs(text: str) -> Iterator[list[str]]:
    """Neighbouring words of one phrase that are neither function words nor very short."""
    run: list[str] = []
    for word in _WORD_OR_END.findall(text):  # an end is an empty string
        if len(word) > 2 and word not in STOPWORDS:
            run.append(word)
        elif run:
            yield run
            run = []
    if run:
        yield run
