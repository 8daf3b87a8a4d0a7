"""Which documents train, validate and test: decided for whole documents, before any sample is made of them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from llm_twin.documents import CleanDocument, Split
from llm_twin.recipes import DatasetsRecipe
from llm_twin.similarity.duplicates import join_groups
from llm_twin.similarity.tokens import hash_runs

LINK_NGRAM_WORDS = 10
MIN_LINKED_SHARE = 0.1  # documents that share this much of the shorter one's n-grams are one piece of writing
MAX_HELD_OUT_SHARE = 0.4
OLDEST = datetime.min.replace(tzinfo=UTC)


def split_documents(documents: Sequence[CleanDocument], recipe: DatasetsRecipe) -> dict[str, Split]:
    """Document id → split. The same documents, recipe and seed give the same splits, in whatever order they come.

    `stratified` takes from each (platform, kind) its share at random by seed; `time` takes each one's newest for
    test, the next for validation. Documents that tell the same thing twice (cross-posts, excerpts) stay together.
    Raises nothing: with fewer than three documents all of them train.
    """
    ordered = sorted(documents, key=lambda document: document.document_id)
    groups = group_documents(ordered)
    test, validation = _wanted(len(ordered), recipe)
    splits: dict[str, Split] = {document.document_id: "train" for document in ordered}
    queue = _interleave(groups, recipe)
    for name, wanted in (("test", test), ("validation", validation)):
        taken = 0
        rest = []
        for group in queue:
            if taken < wanted and taken + len(group) <= wanted:
                splits.update({document.document_id: name for document in group})  # type: ignore[misc]
                taken += len(group)
            else:
                rest.append(group)
        queue = rest
    return splits


def group_documents(documents: Sequence[CleanDocument]) -> list[list[CleanDocument]]:
    """Documents that share a good part of their text, as groups; most groups are of one.

    Word runs that three or more documents share (a newsletter's greeting) say nothing and are not counted.
    """
    grams = [set(hash_runs(d.text, LINK_NGRAM_WORDS).tolist()) for d in documents]
    holders: dict[int, list[int]] = defaultdict(list)
    for position, found in enumerate(grams):
        for gram in found:
            holders[gram].append(position)
    shared = Counter(tuple(where) for where in holders.values() if len(where) == 2)
    links = [
        (first, second)
        for (first, second), count in shared.items()
        if count >= MIN_LINKED_SHARE * max(min(len(grams[first]), len(grams[second])), 1)
    ]
    joined = join_groups(len(documents), links)
    together = {position for group in joined for position in group}
    singles = [[document] for position, document in enumerate(documents) if position not in together]
    return [[documents[position] for position in group] for group in joined] + singles


def _wanted(count: int, recipe: DatasetsRecipe) -> tuple[int, int]:
    """How many documents test and validate: the recipe's shares, at least its minimum, never over a limit."""
    if count < 3:
        return 0, 0
    limit = int(count * MAX_HELD_OUT_SHARE)
    test = min(max(round(count * recipe.test_share), recipe.min_test_documents if recipe.test_share else 0), limit)
    validation = min(max(round(count * recipe.validation_share), 1 if recipe.validation_share else 0), count - test - 1)
    return max(test, 1 if recipe.test_share else 0), validation


def _interleave(groups: list[list[CleanDocument]], recipe: DatasetsRecipe) -> list[list[CleanDocument]]:
    """Groups in the order in which they are held out: every prefix holds each stratum in proportion.

    A group's stratum is that of its first document. Within one the order is random by seed, or newest first.
    """
    strata: dict[tuple[str, str], list[list[CleanDocument]]] = defaultdict(list)
    for group in groups:
        strata[(group[0].platform, group[0].kind)].append(group)
    placed: list[tuple[float, str, list[CleanDocument]]] = []
    for stratum, members in strata.items():
        tie = {id(group): _draw(recipe.seed, group[0].document_id) for group in members}
        if recipe.split_by == "time":
            members.sort(key=lambda group: (_newest(group), tie[id(group)]), reverse=True)
        else:
            members.sort(key=lambda group: tie[id(group)])
        # A stratum of n is spread evenly over (0, 1); where a lone member falls is drawn by seed.
        shift = int(_draw(recipe.seed, "/".join(stratum))[:8], 16) / 2**32 if len(members) == 1 else 0.5
        for rank, group in enumerate(members):
            placed.append(((rank + shift) / len(members), tie[id(group)], group))
    placed.sort(key=lambda entry: entry[:2])
    return [group for _, _, group in placed]


def _newest(group: list[CleanDocument]) -> datetime:
    dates = [document.published for document in group if document.published]
    return max((d if d.tzinfo else d.replace(tzinfo=UTC) for d in dates), default=OLDEST)


def _draw(seed: int, name: str) -> str:
    """A pseudo-random hexadecimal string that depends on seed and name only."""
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()
