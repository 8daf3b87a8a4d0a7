"""What a recognizer finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

PiiKind = Literal["email", "phone", "card", "iban", "ip-address", "national-id", "secret"]


@dataclass(frozen=True)
class Finding:
    """A span of text, end exclusive, and what it is."""

    start: int
    end: int
    kind: PiiKind


Recognizer = Callable[[str], Iterator[Finding]]
