"""Which of several documents that say the same is kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from llm_twin.documents import CleanDocument
from llm_twin.similarity.duplicates import find_duplicates

LATEST = datetime.max.replace(tzinfo=UTC)


def choose_kept(documents: Sequence[CleanDocument], min_jaccard: float) -> dict[str, tuple[str, str]]:
    """Documents to leave out: document id → (exact-duplicate or near-duplicate, URL of the one that stays).

    Walking from the earliest published, a document stays unless it equals or nearly equals one that stays; so
    the choice depends on the set alone, and a chain of pairwise neighbours does not fall as a whole. `min_jaccard`
    0 turns near duplicates off.
    """
    order = sorted(range(len(documents)), key=lambda at: _age(documents[at]))
    found = find_duplicates([document.retrieval_text for document in documents], min_jaccard or 1.0)
    equal: dict[int, set[int]] = {}
    near: dict[int, set[int]] = {}
    for group in found.exact_groups:
        for at in group:
            equal.setdefault(at, set()).update(group)
    if min_jaccard:
        leaders = {at: min(group) for group in found.exact_groups for at in group}
        for pair in found.near_pairs:  # among one of each group of equals, which stands for all of them
            near.setdefault(pair.first, set()).add(pair.second)
            near.setdefault(pair.second, set()).add(pair.first)
        for at, leader in leaders.items():
            near.setdefault(at, set()).update(near.get(leader, set()))
        for others in near.values():
            for other in list(others):
                others.update(equal.get(other, set()))
    kept: set[int] = set()
    dropped: dict[str, tuple[str, str]] = {}
    for at in order:
        for reason, others in (("exact-duplicate", equal.get(at, set())), ("near-duplicate", near.get(at, set()))):
            stays = sorted((others - {at}) & kept)
            if stays:
                dropped[documents[at].document_id] = (reason, documents[stays[0]].url)
                break
        else:
            kept.add(at)
    return dropped


def _age(document: CleanDocument) -> tuple[datetime, str]:
    published = document.published
    if published is not None and published.tzinfo is None:
        published = published.replace(tzinfo=UTC)
    return (published or LATEST, document.document_id)
