"""Which of several documents that say the same is kept."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from llm_twin.documents import CleanDocument
from llm_twin.similarity.duplicates import ESTIMATE_SLACK, PERMUTATIONS, sketch_text
from llm_twin.similarity.tokens import SHINGLE_WORDS, hash_runs

LATEST = datetime.max.replace(tzinfo=UTC)
FIRST_ROWS = 256


@dataclass(frozen=True)
class Signature:
    """What is remembered of a document: its age, its sketch's row, and where its word pairs lie in the spool."""

    url: str
    age: tuple[datetime, str]
    row: int
    offset: int
    count: int


class DuplicateTable:
    """Which of an author's documents are alike, kept up as documents come, change and go.

    Alike: the Jaccard similarity of their word pairs is at least `min_jaccard`; 0 finds equal documents only. In
    memory a document takes a sketch of half a kilobyte, however long it is; what verifies a likeness, the hashes of
    its word pairs, lies in a file without a name, which goes with the process.
    """

    def __init__(self, min_jaccard: float) -> None:
        self.min_jaccard = min_jaccard or 1.0
        self._signatures: dict[str, Signature] = {}
        self._likeness: dict[str, dict[str, float]] = {}  # document → document → Jaccard
        self._sketches = np.zeros((FIRST_ROWS, PERMUTATIONS), np.uint32)
        self._owners: list[str] = []  # document of each row; empty where the row is free
        self._free: list[int] = []
        self._spool = tempfile.TemporaryFile(prefix="twin-duplicates-")  # noqa: SIM115  # as long as the table lives

    def put(self, document: CleanDocument) -> None:
        """Take in one document, new or changed."""
        self.remove(document.document_id)
        shingles = np.unique(hash_runs(document.retrieval_text, SHINGLE_WORDS))
        published = document.published
        if published is not None and published.tzinfo is None:
            published = published.replace(tzinfo=UTC)
        age = (published or LATEST, document.document_id)
        sketch = sketch_text(shingles)
        alike = self._find_alike(shingles, sketch) if len(shingles) else {}
        offset = self._spool.seek(0, 2)
        self._spool.write(shingles.tobytes())
        row = self._take_row(document.document_id, sketch)
        self._signatures[document.document_id] = Signature(document.url, age, row, offset, len(shingles))
        for other, jaccard in alike.items():
            self._likeness.setdefault(document.document_id, {})[other] = jaccard
            self._likeness.setdefault(other, {})[document.document_id] = jaccard

    def _find_alike(self, shingles: np.ndarray, sketch: np.ndarray) -> dict[str, float]:
        """Documents that are alike: candidates by their sketches, verified by the word pairs themselves."""
        likely = (self._sketches[: len(self._owners)] == sketch).mean(axis=1) >= self.min_jaccard - ESTIMATE_SLACK
        found: dict[str, float] = {}
        for row in np.flatnonzero(likely):
            if other := self._owners[row]:
                jaccard = measure_jaccard(shingles, self._read(self._signatures[other]))
                if jaccard >= self.min_jaccard:
                    found[other] = jaccard
        return found

    def _read(self, signature: Signature) -> np.ndarray:
        self._spool.seek(signature.offset)
        return np.frombuffer(self._spool.read(signature.count * 8), np.uint64)

    def _take_row(self, document_id: str, sketch: np.ndarray) -> int:
        if self._free:
            row = self._free.pop()
            self._owners[row] = document_id
        else:
            row = len(self._owners)
            self._owners.append(document_id)
        if row == len(self._sketches):
            self._sketches = np.concatenate([self._sketches, np.zeros_like(self._sketches)])
        self._sketches[row] = sketch
        return row

    def remove(self, document_id: str) -> None:
        """Take out a document."""
        signature = self._signatures.pop(document_id, None)
        if signature is not None:
            self._owners[signature.row] = ""
            self._free.append(signature.row)
        for other in self._likeness.pop(document_id, {}):
            self._likeness[other].pop(document_id, None)

    def has_older(self, document_id: str) -> bool:
        """Whether a document in the table is like this one and older: as things stand this one is to be left out."""
        age = self._signatures[document_id].age
        return any(self._signatures[other].age < age for other in self._likeness.get(document_id, ()))

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


def measure_jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard similarity of two sets, each sorted and unique."""
    if not len(first) or not len(second):
        return 0.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)
