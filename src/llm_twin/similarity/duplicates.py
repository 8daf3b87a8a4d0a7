"""Duplicates among many texts: exact by hash, near by MinHash LSH whose candidates are verified by exact Jaccard.

MinHash: Broder 1997; banding: Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3. The sketches
are rensa's R-MinHash. A sketch only proposes: a pair counts when the sets of shingles themselves are as similar
as asked. Time is that of one sort of the texts for each band, so n log n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from llm_twin.similarity.tokens import MULTIPLIER, SHINGLE_WORDS, hash_texts, roll_runs

PERMUTATIONS = 128
ROWS = 4  # a band; a pair of Jaccard 0.5 is missed with probability (1 - 0.5**4)**32 = 0.13, of 0.7 with 0.0002
MAX_BUCKET = 40  # above it a band's bucket is a star around its first text, not all pairs
ESTIMATE_SLACK = 0.15  # candidates whose sketches say so much less than asked are not worth verifying
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Pair:
    """Two texts by their positions (`first < second`) and the Jaccard similarity of their shingles."""

    first: int
    second: int
    jaccard: float


@dataclass(frozen=True)
class Duplicates:
    """What was found: groups of equal texts, verified near pairs, and both together as clusters of two or more."""

    exact_groups: list[list[int]] = field(default_factory=list)
    near_pairs: list[Pair] = field(default_factory=list)
    clusters: list[list[int]] = field(default_factory=list)


def find_duplicates(texts: Sequence[str], min_jaccard: float = 0.5, seed: int = 20) -> Duplicates:
    """Find equal and nearly equal texts, near pairs among one text of each group of equals.

    Equal: the same words in the same order, whatever case, punctuation and white space. Near: sets of two-word
    shingles with a Jaccard similarity of at least `min_jaccard`, verified exactly. Texts without words are never
    duplicates.
    """
    words, bounds = hash_texts(texts)
    members: dict[bytes, list[int]] = {}
    for position in range(len(texts)):
        content = words[bounds[position] : bounds[position + 1]].tobytes()
        if content:
            members.setdefault(hashlib.blake2b(content, digest_size=16).digest(), []).append(position)
    leaders = np.array([group[0] for group in members.values()], dtype=np.int64)
    exact = [group for group in members.values() if len(group) > 1]
    first, second, scores = _near_pairs(words, bounds, leaders, min_jaccard, seed)
    pairs = [Pair(*row) for row in zip(first.tolist(), second.tolist(), scores.tolist(), strict=True)]
    links = [(group[0], other) for group in exact for other in group[1:]]
    clusters = join_groups(len(texts), [*links, *((pair.first, pair.second) for pair in pairs)])
    return Duplicates(exact, pairs, clusters)


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


def _near_pairs(
    words: np.ndarray, bounds: np.ndarray, which: np.ndarray, min_jaccard: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Verified pairs among the texts at positions `which`: first, second (int64, rising), Jaccard (float64)."""
    shingles, edges = _shingle(words, bounds)
    sketches = _sketch(shingles, edges, which, seed)
    first, second = _propose(sketches)
    estimate = np.empty(len(first))
    for start in range(0, len(first), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        estimate[rows] = (sketches[first[rows]] == sketches[second[rows]]).mean(axis=1)
    likely = estimate >= min_jaccard - ESTIMATE_SLACK
    first, second = which[first[likely]], which[second[likely]]
    scores = _jaccard(shingles, edges, first, second)
    keep = scores >= min_jaccard
    return first[keep], second[keep], scores[keep]


def _shingle(words: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shingles of all texts in one array, and each text's edges in it. A one-word text is one shingle."""
    lengths = np.diff(bounds)
    counts = np.where(lengths >= SHINGLE_WORDS, lengths - SHINGLE_WORDS + 1, np.minimum(lengths, 1))
    edges = np.concatenate([[0], np.cumsum(counts)])
    rolled = np.concatenate([roll_runs(words, SHINGLE_WORDS), words[len(words) - SHINGLE_WORDS + 1 :]])
    take = np.arange(edges[-1]) + np.repeat(bounds[:-1] - edges[:-1], counts)
    return rolled[take], edges


def _sketch(shingles: np.ndarray, edges: np.ndarray, which: np.ndarray, seed: int) -> np.ndarray:
    """MinHash sketches (len(which)×PERMUTATIONS, uint32) of the texts at positions `which`."""
    from rensa import RMinHash

    sketches = np.empty((len(which), PERMUTATIONS), dtype=np.uint32)
    for start in range(0, len(which), ROWS_AT_ONCE):
        block = which[start : start + ROWS_AT_ONCE]
        counts = edges[block + 1] - edges[block]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        take = np.arange(offsets[-1]) + np.repeat(edges[block] - offsets[:-1], counts)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            shingles[take], offsets.astype(np.uint64), PERMUTATIONS, seed
        )
        sketches[start : start + len(block)] = matrix.to_rows()
    return sketches


def sketch_text(shingles: np.ndarray, seed: int = 20) -> np.ndarray:
    """MinHash sketch (PERMUTATIONS, uint32) of one text's shingles (uint64)."""
    return _sketch(shingles, np.array([0, len(shingles)]), np.array([0]), seed)[0]


def _propose(sketches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that share a band: first and second (int64, first < second), each pair once."""
    count = len(sketches)
    codes = [np.empty(0, dtype=np.int64)]
    for start in range(0, PERMUTATIONS, ROWS):
        keys = np.zeros(count, dtype=np.uint64)
        for column in range(start, start + ROWS):
            keys = (keys ^ sketches[:, column]) * MULTIPLIER
            keys ^= keys >> np.uint64(32)
        order = np.argsort(keys, kind="stable")
        codes.append(_pair_runs(keys[order], order, count))
    found = np.unique(np.concatenate(codes))
    return found // max(count, 1), found % max(count, 1)


def _pair_runs(keys: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Pairs of rows within runs of equal (sorted) keys, as first × count + second; rows rise within a run."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(keys)) + 1])
    sizes = np.diff(np.concatenate([starts, [len(keys)]]))
    found = [np.empty(0, dtype=np.int64)]
    for size in np.unique(sizes[sizes > 1]):
        runs = rows[starts[sizes == size][:, None] + np.arange(size)]
        if size <= MAX_BUCKET:
            left, right = np.triu_indices(size, k=1)
        else:
            left, right = np.zeros(size - 1, dtype=np.int64), np.arange(1, size)
        found.append((runs[:, left] * count + runs[:, right]).ravel())
    return np.concatenate(found)


def _jaccard(shingles: np.ndarray, edges: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Exact Jaccard similarity of each pair's shingle sets (float64)."""
    sets = {int(text): np.unique(shingles[edges[text] : edges[text + 1]]) for text in np.union1d(first, second)}
    scores = np.zeros(len(first))
    for row, (one, other) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        a, b = sets[one], sets[other]
        both = np.concatenate([a, b])
        both.sort(kind="stable")
        shared = int((both[1:] == both[:-1]).sum())
        scores[row] = shared / (len(both) - shared)
    return scores
