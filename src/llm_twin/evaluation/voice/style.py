"""Named style features: the ones that can be shown to a person.

Rates of function words, punctuation, suffixes and sentence openings (square roots, which even out the variance of
counts), lengths of words, sentences and paragraphs, casing and vocabulary.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np

from llm_twin.evaluation.voice.words import FUNCTION_WORDS

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+")
MARKS = (".", ",", ";", ":", "!", "?", "'", '"', "(", ")", "-", " - ", "/", "*", "&", "%", "$", "#", "@", "+", "=",
         "[", "]", "...")  # fmt: skip
SUFFIXES = ("ing", "ed", "ly", "tion", "ness", "ment", "able", "ible", "ous", "ive", "al", "er", "est", "ity", "ful",
            "less", "ize", "ise", "ism", "ic")  # fmt: skip
OPENINGS = ("the", "i", "this", "it", "we", "but", "and", "so", "in", "if", "you", "that", "for", "there", "as", "a",
            "these", "to", "when", "what", "however", "now", "then")  # fmt: skip
LENGTHS = ("mean sentence length", "deviation of sentence length", "median sentence length", "short sentences",
           "long sentences", "mean paragraph length", "mean word length", "deviation of word length",
           "words of 7 letters or more", "words of 10 letters or more", "words of 3 letters or fewer",
           "different words", "capitalised words", "words in capitals", "contractions", "digits")  # fmt: skip


@cache
def style_names() -> tuple[str, ...]:
    """A name for each component of a style vector, for people."""
    return (
        *(f"“{word}”" for word in FUNCTION_WORDS),
        *(f"mark {mark.strip() if mark != ' - ' else 'spaced dash'}" for mark in MARKS),
        *(f"ending -{suffix}" for suffix in SUFFIXES),
        *LENGTHS,
        *(f"sentence opens with “{word}”" for word in OPENINGS),
    )


@cache
def _places() -> dict[str, int]:
    return {word: place for place, word in enumerate(FUNCTION_WORDS)}


def style_vector(text: str) -> np.ndarray:
    """The style features of a text, float64, in the order of `style_names`. Compare texts of like length only."""
    words = WORD.findall(text)
    lower = [word.lower() for word in words]
    count = max(len(words), 1)
    places = _places()
    function = np.zeros(len(places))
    counted = Counter(lower)
    for word, times in counted.items():
        if word in places:
            function[places[word]] = times
    marks = np.array([text.count(mark) for mark in MARKS], dtype=float)
    suffixes = np.array([sum(w.endswith(s) and len(w) > len(s) + 2 for w in lower) for s in SUFFIXES], dtype=float)
    sentences = [sentence for sentence in SENTENCE_END.split(text) if sentence.strip()]
    openings = Counter(sentence.split()[0].lower().strip("\"'(,") for sentence in sentences)
    opened = np.array([openings[word] for word in OPENINGS]) / max(len(sentences), 1)
    return np.concatenate(
        [
            np.sqrt(1000 * function / count),
            np.sqrt(1000 * marks / count),
            np.sqrt(1000 * suffixes / count),
            _lengths(text, words, sentences, len(counted)),
            np.sqrt(100 * opened),
        ]
    )


def _lengths(text: str, words: list[str], sentences: list[str], different: int) -> np.ndarray:
    count = max(len(words), 1)
    in_sentences = np.array([len(sentence.split()) for sentence in sentences] or [0])
    in_paragraphs = [len(paragraph.split()) for paragraph in text.split("\n")]
    letters = np.array([len(word) for word in words] or [0])
    return np.array(
        [
            in_sentences.mean(),
            in_sentences.std(),
            np.median(in_sentences),
            10 * (in_sentences < 8).mean(),
            10 * (in_sentences > 30).mean(),
            np.mean(in_paragraphs),
            letters.mean(),
            letters.std(),
            100 * (letters >= 7).mean(),
            100 * (letters >= 10).mean(),
            100 * (letters <= 3).mean(),
            100 * different / count,
            100 * sum(word[0].isupper() for word in words) / count,
            100 * sum(len(word) > 1 and word.isupper() for word in words) / count,
            100 * sum("'" in word for word in words) / count,
            100 * sum(character.isdigit() for character in text) / count,
        ]
    )
