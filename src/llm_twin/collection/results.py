"""What a collection run did: counted as it goes, reported at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from llm_twin.collection.records import Failure


@dataclass
class SourceResult:
    """What became of one source. `problem` is set if nothing at all could be had of it."""

    location: str
    name: str
    counts: Counter[str] = field(default_factory=Counter)  # inserted, changed, unchanged, gone, duplicate, skipped
    failures: list[Failure] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> int:
        """Items that are in the warehouse, or stayed there."""
        return sum(self.counts[name] for name in ("inserted", "changed", "unchanged", "duplicate"))


@dataclass
class Collected:
    """A run's outcome: the snapshot that later steps read, and what happened on the way to it."""

    authors: list[str]
    sources: list[SourceResult] = field(default_factory=list)
    snapshot: str = ""
    requests: int = 0
    seconds: float = 0.0

    @property
    def failures(self) -> list[Failure]:
        """All that failed, sources that gave nothing included."""
        whole = [Failure(s.location, "source", s.problem) for s in self.sources if s.problem]
        return whole + [failure for source in self.sources for failure in source.failures]

    @property
    def counts(self) -> Counter[str]:
        """Outcomes over all sources."""
        total: Counter[str] = Counter()
        for source in self.sources:
            total.update(source.counts)
        return total

    @property
    def failed_share(self) -> float:
        """Failed items of all that were tried; 1.0 if nothing was."""
        good = sum(source.good for source in self.sources)
        failed = len(self.failures)
        return failed / (failed + good) if failed + good else 1.0
