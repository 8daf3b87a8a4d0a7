"""What the score cannot see: the order of words. Two gains over trigrams flag Markov text and shuffled words.

The gain of a text is the mean log ratio of each word's probability given the two before it to its probability
alone. Under the author's own words it is far too high for text that is stitched from the author's trigrams; under
masked tokens of anyone's prose it is far too low for shuffled words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from llm_twin.evaluation.voice.masking import mask_tokens

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[.,;:!?]")
BACKOFF = (0.6, 0.3, 0.1)  # weights of trigram, bigram and unigram (Jelinek and Mercer 1980)


class Trigrams:
    """Counts of one, two and three tokens in a row."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self.ones: Counter[str] = Counter()
        self.twos: Counter[tuple[str, str]] = Counter()
        self.threes: Counter[tuple[str, str, str]] = Counter()
        for tokens in texts:
            self.ones.update(tokens)
            self.twos.update(zip(tokens, tokens[1:], strict=False))
            self.threes.update(zip(tokens, tokens[1:], tokens[2:], strict=False))
        self.total = sum(self.ones.values()) or 1

    def gain(self, tokens: Sequence[str]) -> float:
        """Mean nats a token that the two tokens before tell of it; 0 for fewer than three tokens."""
        gains = []
        for first, second, third in zip(tokens, tokens[1:], tokens[2:], strict=False):
            alone = (self.ones[third] + 0.5) / (self.total + 0.5)
            pair, single = self.twos[first, second], self.ones[second]
            by_two = self.threes[first, second, third] / pair if pair else 0.0
            by_one = self.twos[second, third] / single if single else 0.0
            given = BACKOFF[0] * by_two + BACKOFF[1] * by_one + BACKOFF[2] * alone
            gains.append(math.log(given / alone))
        return math.fsum(gains) / len(gains) if gains else 0.0


def word_tokens(text: str) -> list[str]:
    """Words and marks, lower case: what the author's own trigrams are counted over."""
    return [token.lower() for token in WORD.findall(text)]


def masked_order_tokens(text: str) -> list[str]:
    """Masked tokens, lower case: what anyone's trigrams are counted over."""
    return [token.lower() for token in mask_tokens(text)]
