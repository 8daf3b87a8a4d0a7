"""Which of several documents that say the same is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from llm_twin.documents import CleanDocument
from llm_twin.similarity.duplicates import find_duplicates
from llm_twin.similarity.tokens import SHINGLE_WORDS, hash_runs

LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Signature:
    """What is remembered of a document to tell its duplicates: its age, and the set of its word pairs."""

    document_id: str
    url: str
    age: tuple[datetime, str]
    shingles: np.ndarray  # sorted, unique uint64


def sign(document: CleanDocument) -> Signature:
    """The signature of a clean document."""
    published = document.published
    if published is not None and published.tzinfo is None:
        published = published.replace(tzinfo=UTC)
    age = (published or LATEST, document.document_id)
    return Signature(
        document.document_id, document.url, age, np.unique(hash_runs(document.retrieval_text, SHINGLE_WORDS))
    )


class DuplicateTable:
    """The signatures of all of an author's documents and which of them are alike, kept up as documents change.

    Alike: the Jaccard similarity of their word pairs is at least `min_jaccard`; 0 finds equal documents only.
    """

    def __init__(self, min_jaccard: float) -> None:
        self.min_jaccard = min_jaccard or 1.0
        self._signatures: dict[str, Signature] = {}
        self._likeness: dict[str, dict[str, float]] = {}  # document → document → Jaccard

    def fill(self, documents: Sequence[CleanDocument]) -> None:
        """Take in many documents at once: candidates by MinHash, then exact, in n log n."""
        for document in documents:
            self._put(sign(document))
        found = find_duplicates([document.retrieval_text for document in documents], self.min_jaccard)
        ids = [document.document_id for document in documents]
        for group in found.exact_groups:
            for first, second in zip(group, group[1:], strict=False):
                self._link(ids[first], ids[second], 1.0)
            for member in group[1:]:
                self._link(ids[group[0]], ids[member], 1.0)
        for pair in found.near_pairs:
            self._link(ids[pair.first], ids[pair.second], pair.jaccard)
        for group in found.exact_groups:  # near pairs are among one of each group of equals, which stands for all
            for member in group[1:]:
                for other, jaccard in list(self._likeness.get(ids[group[0]], {}).items()):
                    if other != ids[member]:
                        self._link(ids[member], other, jaccard)

    def put(self, document: CleanDocument) -> None:
        """Take in one document, new or changed."""
        self.remove(document.document_id)
        signature = sign(document)
        for other in self._signatures.values():
            jaccard = measure_jaccard(signature.shingles, other.shingles)
            if jaccard >= self.min_jaccard:
                self._link(signature.document_id, other.document_id, jaccard)
        self._put(signature)

    def remove(self, document_id: str) -> None:
        """Take out a document."""
        self._signatures.pop(document_id, None)
        for other in self._likeness.pop(document_id, {}):
            self._likeness[other].pop(document_id, None)

    def choose_dropped(self) -> dict[str, tuple[str, str]]:
        """Documents to leave out: id → (exact-duplicate or near-duplicate, address of the one that stays).

        Walking from the earliest published, a document stays unless it is like one that stays; so the choice depends
        on the set alone, and a chain of neighbours does not fall as a whole.
        """
        dropped: dict[str, tuple[str, str]] = {}
        for document_id in sorted(self._likeness, key=lambda one: self._signatures[one].age):
            stay = {other: j for other, j in self._likeness[document_id].items() if other not in dropped}
            older = [other for other in stay if self._signatures[other].age < self._signatures[document_id].age]
            if older:
                closest = max(older, key=lambda other: (stay[other], other))
                reason = "exact-duplicate" if stay[closest] == 1.0 else "near-duplicate"
                dropped[document_id] = (reason, self._signatures[closest].url)
        return dropped

    def _put(self, signature: Signature) -> None:
        self._signatures[signature.document_id] = signature

    def _link(self, first: str, second: str, jaccard: float) -> None:
        self._likeness.setdefault(first, {})[second] = jaccard
        self._likeness.setdefault(second, {})[first] = jaccard


def measure_jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard similarity of two sets, each sorted and unique. Sizes that rule out half are not compared."""
    if not len(first) or not len(second):
        return 0.0
    if min(len(first), len(second)) < 0.5 * max(len(first), len(second)):
        return 0.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def choose_kept(documents: Iterable[CleanDocument], min_jaccard: float) -> dict[str, tuple[str, str]]:
    """Documents to leave out of a set: see DuplicateTable.choose_dropped."""
    table = DuplicateTable(min_jaccard)
    table.fill(list(documents))
    return table.choose_dropped()
