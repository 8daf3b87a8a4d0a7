"""Exact and near deduplication of samples, against a labelled set that this makes: seconds, memory, pair F1."""

from __future__ import annotations

import argparse
import itertools
import math
import random
import resource
import statistics
import time
from collections import Counter
from collections.abc import Callable

from llm_twin.similarity.duplicates import find_duplicates

DESCRIPTION = "exact and near duplicates among 100,000 samples: seconds, pair F1 by level, growth with size"
SIZES = (10_000, 30_000, 100_000)
COPIED_SHARE = 0.3  # of the samples are copies, one or two of an original each
MIN_JACCARD = 0.5  # the recipes' default

Copy = Callable[[list[list[str]], random.Random], list[list[str]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command-line options."""
    parser.add_argument("--samples", type=int, default=SIZES[-1], help="size of the set that is scored")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each size; figures are medians")
    parser.add_argument("--seed", type=int, default=20)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Time all sizes and score the largest set. Prints tables."""
    sizes = [size for size in SIZES if size < args.samples] + [args.samples]
    sets = {size: make_set(size, args.seed) for size in sizes}
    peak_before = _peak_mb()
    wall: dict[int, list[float]] = {size: [] for size in sizes}
    cpu: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(args.runs):  # interleaved, so that another load on the machine meets all sizes alike
        for size in sizes:
            begun, begun_cpu = time.perf_counter(), time.process_time()
            found = find_duplicates(sets[size][0], MIN_JACCARD)
            wall[size].append(time.perf_counter() - begun)
            cpu[size].append(time.process_time() - begun_cpu)
    figures: dict[str, float | int | str] = {}
    print(f"{'samples':>9}{'seconds':>10}{'CPU seconds':>13}   (medians of {args.runs})")
    for size in sizes:
        figures[f"seconds_{size // 1000}k"] = round(statistics.median(wall[size]), 2)
        figures[f"cpu_seconds_{size // 1000}k"] = round(statistics.median(cpu[size]), 2)
        print(f"{size:>9,}{statistics.median(wall[size]):>10.2f}{statistics.median(cpu[size]):>13.2f}")
    truth = sets[sizes[-1]][1]
    pairs = {(pair.first, pair.second) for pair in found.near_pairs}
    pairs |= {pair for cluster in found.exact_groups for pair in itertools.combinations(cluster, 2)}
    pairs |= _through_equals(found.exact_groups, pairs)
    right = len(pairs & truth.keys())
    precision, recall = right / max(len(pairs), 1), right / len(truth)
    figures["pair_precision"] = round(precision, 4)
    figures["pair_recall"] = round(recall, 4)
    figures["pair_f1"] = round(2 * precision * recall / max(precision + recall, 1e-9), 4)
    asked, got = Counter(truth.values()), Counter(truth[pair] for pair in pairs & truth.keys())
    print(f"\n{'level':<26}{'pairs':>8}{'recall':>9}")
    for level, count in sorted(asked.items()):
        print(f"{level:<26}{count:>8,}{got[level] / count:>9.3f}")
        figures[f"recall_{level.replace(' ', '_').replace('%', '')}"] = round(got[level] / count, 4)
    print(f"{'all':<26}{len(truth):>8,}{recall:>9.3f}  precision {precision:.3f}  F1 {figures['pair_f1']}")
    small, large = sizes[0], sizes[-1]
    n_log_n = large * math.log2(large) / (small * math.log2(small))
    growth = statistics.median(b / a for a, b in zip(cpu[small], cpu[large], strict=True))
    figures["growth_over_n_log_n"] = round(growth / n_log_n, 3)  # 1 is n log n; below it is better
    figures["peak_mb"] = _peak_mb()
    print(f"{small:,} to {large:,}: {growth:.1f} times the CPU time, n log n would be {n_log_n:.1f}")
    print(f"peak {figures['peak_mb']:,} MB, of which {peak_before:,} MB the texts and this program")
    return figures


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _through_equals(groups: list[list[int]], pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Near pairs hold for one text of each group of equals; the others' follow without another comparison."""
    equals = {group[0]: group for group in groups}
    return {
        (min(a, b), max(a, b))
        for first, second in pairs
        for a in equals.get(first, [first])
        for b in equals.get(second, [second])
        if a != b
    }


def make_set(count: int, seed: int) -> tuple[list[str], dict[tuple[int, int], str]]:
    """`count` texts of 40 to 160 words, and which pairs are copies: (lower, higher position) → level.

    Words are made up and as unevenly frequent as real ones (Zipf), each text leans to one of many topics, and one in
    ten holds a stock sentence, as newsletters do; so unrelated texts share words and phrases. Where an original has
    two copies, those are a pair too, of level "copies of one".
    """
    chance = random.Random(seed)
    vocabulary = Vocabulary(chance)
    levels = list_levels(vocabulary)
    names = list(levels)
    texts: list[str] = []
    groups: list[list[tuple[int, str]]] = []
    while len(texts) < count:
        sentences = vocabulary.write_text()
        group = [(len(texts), "")]
        texts.append(_join(sentences))
        if chance.random() < COPIED_SHARE / (1 - COPIED_SHARE) / 1.25:
            for name in chance.sample(names, 2 if chance.random() < 0.25 else 1):
                if len(texts) < count:
                    group.append((len(texts), name))
                    texts.append(_join(levels[name](sentences, chance), upper=name == "exact"))
        groups.append(group)
    order = list(range(count))
    chance.shuffle(order)  # order[i]: where text i goes
    shuffled = [""] * count
    for position, text in enumerate(texts):
        shuffled[order[position]] = text
    truth: dict[tuple[int, int], str] = {}
    for group in groups:
        for (one, first), (other, second) in itertools.combinations(group, 2):
            a, b = sorted((order[one], order[other]))
            truth[a, b] = "copies of one" if first else second
    return shuffled, truth


def list_levels(vocabulary: Vocabulary) -> dict[str, Copy]:
    """The ways to copy, by level. A paraphrase puts synonyms in the place of that share of the words."""
    return {
        "exact": lambda text, chance: text,
        "typo 2%": lambda text, chance: _each_word(text, chance, 0.02, misspell),
        "typo 8%": lambda text, chance: _each_word(text, chance, 0.08, misspell),
        "reorder": lambda text, chance: chance.sample(text, len(text)),
        "cut 10%": lambda text, chance: _cut(text, 0.10, chance),
        "cut 30%": lambda text, chance: _cut(text, 0.30, chance),
        "paraphrase 5%": lambda text, chance: _each_word(text, chance, 0.05, vocabulary.replace_word),
        "paraphrase 10%": lambda text, chance: _each_word(text, chance, 0.10, vocabulary.replace_word),
    }


class Vocabulary:
    """Made-up words with Zipf's frequencies, synonyms for each, topics that lean to some of them, stock sentences."""

    SIZE = 30_000
    TOPICS = 200

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        onsets, vowels, codas = "b c d f g h l m n p r s t v w st tr pl".split(), "aeiou", ["", "", "n", "r", "s", "l"]
        syllables = ["".join(parts) for parts in itertools.product(onsets, vowels, codas)]
        words: dict[str, None] = {}
        while len(words) < self.SIZE:
            length = 1 if len(words) < 200 else 2 if len(words) < 3000 else 3
            words["".join(chance.choices(syllables, k=length))] = None
        self.words = list(words)
        self._rank = {word: rank for rank, word in enumerate(self.words)}
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(self.SIZE)))
        self._topics = [chance.sample(range(200, self.SIZE), 120) for _ in range(self.TOPICS)]
        self._stock = [self._sentence([], 14) for _ in range(40)]

    def write_text(self) -> list[list[str]]:
        """A text as sentences of words."""
        topic = [self.words[rank] for rank in self._chance.choice(self._topics)]
        wanted, sentences = self._chance.randint(40, 150), []
        while sum(map(len, sentences)) < wanted:
            sentences.append(self._sentence(topic, self._chance.randint(6, 22)))
        if self._chance.random() < 0.1:
            sentences.insert(self._chance.choice((0, len(sentences))), self._chance.choice(self._stock))
        return sentences

    def replace_word(self, word: str, chance: random.Random) -> str:
        """The word's synonym: always the same one, of nearly the same frequency."""
        return self.words[self._rank[word] ^ 1] if word in self._rank else word

    def _sentence(self, topic: list[str], length: int) -> list[str]:
        words = self._chance.choices(self.words, cum_weights=self._weights, k=length)
        return [self._chance.choice(topic) if topic and self._chance.random() < 0.25 else word for word in words]


def misspell(word: str, chance: random.Random) -> str:
    """Swap, drop or double one letter."""
    place = chance.randrange(len(word))
    how = chance.randrange(3)
    if how == 0 and len(word) > 1:
        place = min(place, len(word) - 2)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if how == 1 and len(word) > 2:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place] + word[place:]


def _each_word(
    text: list[list[str]], chance: random.Random, share: float, change: Callable[[str, random.Random], str]
) -> list[list[str]]:
    return [[change(word, chance) if chance.random() < share else word for word in line] for line in text]


def _cut(text: list[list[str]], share: float, chance: random.Random) -> list[list[str]]:
    """Take `share` of the words off the start or the end."""
    words = list(itertools.chain.from_iterable(text))
    gone = int(len(words) * share)
    return [words[gone:] if chance.random() < 0.5 else words[: len(words) - gone]]


def _join(text: list[list[str]], upper: bool = False) -> str:
    written = ". ".join(" ".join(line).capitalize() for line in text) + "."
    return written.upper().replace(". ", "!\n") if upper else written
