"""Duplicates among many texts: exact by hash, near by MinHash LSH whose candidates are verified by exact Jaccard.

MinHash: Broder 1997; banding: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3. The sketches
are rensa's R-MinHash. A sketch only proposes: a pair counts when the sets of shingles themselves are as similar
as asked. Time is that of a sort of the texts in every band, so n log n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from llm_twin.similarity.tokens import SHINGLE_WORDS, hash_exact, hash_words, normalise_words, roll_ngrams

PERMUTATIONS = 96
ROWS = 3  # rows a band: the chance to miss a pair of Jaccard 0.4 is (1 - 0.4**3)**32 = 0.12, of 0.6 it is 4e-4
MAX_BUCKET = 40  # above it a band's bucket is a star around its first text, not all pairs


@dataclass(frozen=True)
class Pair:
    """Two texts by their positions (`first < second`) and the Jaccard similarity of their shingles."""

    first: int
    second: int
    jaccard: float


@dataclass(frozen=True)
class Duplicates:
    """What was found: groups of equal texts, verified near pairs, and which positions to keep."""

    exact_groups: list[list[int]] = field(default_factory=list)
    near_pairs: list[Pair] = field(default_factory=list)
    clusters: list[list[int]] = field(default_factory=list)  # exact and near together, each of two or more


def find_duplicates(texts: Sequence[str], min_jaccard: float = 0.5, seed: int = 20) -> Duplicates:
    """Find equal and nearly equal texts. `min_jaccard` is over sets of two-word shingles, verified exactly."""
    first_seen: dict[bytes, int] = {}
    members: dict[int, list[int]] = {}
    for position, text in enumerate(texts):
        leader = first_seen.setdefault(hash_exact(text), position)
        members.setdefault(leader, []).append(position)
    leaders = list(members)
    near = find_near_pairs([texts[position] for position in leaders], min_jaccard, seed)
    pairs = [Pair(leaders[pair.first], leaders[pair.second], pair.jaccard) for pair in near]
    exact = [group for group in members.values() if len(group) > 1]
    links = [(group[0], other) for group in exact for other in group[1:]]
    clusters = join_groups(len(texts), [*links, *((pair.first, pair.second) for pair in pairs)])
    return Duplicates(exact, pairs, clusters)


def find_near_pairs(texts: Sequence[str], min_jaccard: float = 0.5, seed: int = 20) -> list[Pair]:
    """All pairs found of texts whose shingle sets have at least `min_jaccard` in common, by position."""
    if len(texts) < 2:
        return []
    sets = [shingle_set(text) for text in texts]
    candidates = _propose_pairs(sets, seed)
    scores = _jaccard(sets, candidates)
    keep = scores >= min_jaccard
    found = zip(candidates[keep].tolist(), scores[keep].tolist(), strict=True)
    return [Pair(first, second, score) for (first, second), score in found]


def shingle_set(text: str) -> np.ndarray:
    """The sorted set of hashes of the text's two-word shingles; of its words where it has only one."""
    words = hash_words(normalise_words(text))
    return np.unique(roll_ngrams(words, SHINGLE_WORDS) if len(words) >= SHINGLE_WORDS else words)


def keep_best(clusters: Iterable[list[int]], better: Callable[[int], tuple]) -> dict[int, int]:
    """For each cluster keep the position whose `better` key is greatest (the lowest position on a tie).

    Returns dropped position → kept position.
    """
    dropped: dict[int, int] = {}
    for cluster in clusters:
        kept = max(cluster, key=lambda position: (better(position), -position))
        dropped.update({position: kept for position in cluster if position != kept})
    return dropped


def join_groups(count: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected groups of two or more among `count` positions (union-find with path halving), sorted."""
    parent = list(range(count))

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    touched: set[int] = set()
    for first, second in links:
        touched.update((first, second))
        a, b = root(first), root(second)
        if a != b:
            parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for position in sorted(touched):
        groups.setdefault(root(position), []).append(position)
    return [group for group in groups.values() if len(group) > 1]


def _propose_pairs(sets: list[np.ndarray], seed: int) -> np.ndarray:
    """Candidate pairs (m×2, int64, first < second, unique): texts that share a band of their sketches."""
    from rensa import RMinHash

    offsets = np.zeros(len(sets) + 1, dtype=np.uint64)
    np.cumsum([len(one) for one in sets], out=offsets[1:])
    flat = np.concatenate(sets) if offsets[-1] else np.empty(0, dtype=np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, PERMUTATIONS, seed)
    sketches = np.array(matrix.to_rows(), dtype=np.uint32)
    filled = np.flatnonzero(np.diff(offsets.astype(np.int64)) > 0)
    found: list[np.ndarray] = []
    for start in range(0, PERMUTATIONS, ROWS):
        keys = roll_rows(sketches[:, start : start + ROWS])[filled]
        order = np.argsort(keys, kind="stable")
        found.append(_pairs_of_runs(keys[order], filled[order]))
    pairs = np.concatenate(found)
    if not len(pairs):
        return np.empty((0, 2), dtype=np.int64)
    codes = np.unique(pairs[:, 0] * len(sets) + pairs[:, 1])
    return np.stack([codes // len(sets), codes % len(sets)], axis=1)


def roll_rows(rows: np.ndarray) -> np.ndarray:
    """One 64-bit key a row of a band (n×ROWS, uint32)."""
    keys = np.zeros(len(rows), dtype=np.uint64)
    for column in range(rows.shape[1]):
        keys = (keys ^ rows[:, column].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return keys


def _pairs_of_runs(keys: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Pairs (m×2) of positions within runs of equal keys; `keys` is sorted, positions rise within a run."""
    edges = np.flatnonzero(np.diff(keys)) + 1
    starts = np.concatenate([[0], edges])
    sizes = np.diff(np.concatenate([starts, [len(keys)]]))
    found = [np.empty((0, 2), dtype=np.int64)]
    for size in np.unique(sizes[sizes > 1]):
        runs = positions[starts[sizes == size][:, None] + np.arange(size)]
        if size <= MAX_BUCKET:
            left, right = np.triu_indices(size, k=1)
        else:
            left, right = np.zeros(size - 1, dtype=np.int64), np.arange(1, size)
        found.append(np.stack([runs[:, left].ravel(), runs[:, right].ravel()], axis=1))
    return np.concatenate(found)


def _jaccard(sets: list[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Exact Jaccard similarity of each pair's sets (float64)."""
    scores = np.zeros(len(pairs))
    for row, (first, second) in enumerate(pairs.tolist()):
        a, b = sets[first], sets[second]
        shared = len(np.intersect1d(a, b, assume_unique=True))
        scores[row] = shared / (len(a) + len(b) - shared)
    return scores
