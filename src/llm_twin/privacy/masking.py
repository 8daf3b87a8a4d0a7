"""Masking: each finding gives way to a placeholder that says what stood there; all else stays as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_twin.privacy.contacts import find_emails, find_ip_addresses, find_phones
from llm_twin.privacy.findings import Finding, PiiKind, Recognizer
from llm_twin.privacy.numbers import find_cards, find_ibans, find_national_ids
from llm_twin.privacy.secrets import find_secrets

# In order of precedence: of two findings that overlap, the earlier recognizer's counts.
RECOGNIZERS: tuple[Recognizer, ...] = (
    find_secrets,
    find_emails,
    find_ibans,
    find_cards,
    find_national_ids,
    find_ip_addresses,
    find_phones,
)
PLACEHOLDERS: dict[PiiKind, str] = {
    "email": "[email]",
    "phone": "[phone]",
    "card": "[card]",
    "iban": "[iban]",
    "ip-address": "[ip-address]",
    "national-id": "[national-id]",
    "secret": "[secret]",
}
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Masked:
    """The masked text, and how many findings of each kind were masked in it."""

    text: str
    counts: dict[str, int] = field(default_factory=dict)


def find_pii(text: str, allowed: Sequence[str] = ()) -> list[Finding]:
    """What a text holds of personal data, in order, without overlaps; spans that hold an `allowed` string are not."""
    chosen: list[Finding] = []
    keep = [word.casefold() for word in allowed if word.strip()]
    for recognize in RECOGNIZERS:
        for finding in recognize(text):
            if any(finding.start < other.end and other.start < finding.end for other in chosen):
                continue
            span = text[finding.start : finding.end].casefold()
            if not any(span == word for word in keep):
                chosen.append(finding)
    return sorted(chosen, key=lambda finding: finding.start)


def mask_pii(text: str, author_name: str = "", allowed: Sequence[str] = ()) -> Masked:
    """Mask e-mail addresses, phones, cards, IBANs, IP addresses, national ids and secrets.

    The author's own name is no secret of theirs, nor is what `allowed` lists (a public contact address, say).
    Masking a masked text changes nothing: rounds go on until none finds anything.
    """
    counts: Counter[str] = Counter()
    for _ in range(MAX_ROUNDS):
        findings = find_pii(text, (author_name, *allowed))
        if not findings:
            break
        pieces: list[str] = []
        at = 0
        for finding in findings:
            pieces += [text[at : finding.start], PLACEHOLDERS[finding.kind]]
            at = finding.end
            counts[finding.kind] += 1
        text = "".join(pieces) + text[at:]
    return Masked(text, dict(sorted(counts.items())))
