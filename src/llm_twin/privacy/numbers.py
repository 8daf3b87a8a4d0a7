"""Numbers that carry a checksum: payment cards, IBANs and national ids (checksums by python-stdnum)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from stdnum import iban, luhn
from stdnum.au import tfn
from stdnum.be import nn as be_nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ch_ssn
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import cc as pt_cc
from stdnum.se import personnummer
from stdnum.us import itin, ssn

from llm_twin.lines import find_lines
from llm_twin.privacy.findings import Finding

_CARD = re.compile(r"(?<![\w.,+/=-])\d(?:[ -]?\d){12,18}(?![\w/=]|[.,-]\d)")
# Issuer prefixes and lengths by ISO/IEC 7812: Visa, Mastercard, American Express, Discover, Diners, JCB,
# UnionPay, Maestro.
_CARD_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|6(?:011|5\d\d|4[4-9]\d)\d{12}|"
    r"3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|62\d{14,17}|(?:50|5[6-9]|6[0139])\d{10,17}"
)
_IBAN = re.compile(r"(?<![\w])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}(?!\w)")

# Six digits, at most one other character between two: all forms below have them, and stand on one line.
_DIGITS = re.compile(r"\d(?:[^\d\n]?\d){5}")
# (pattern, checksum). The first list stands for itself by its form; the second's plain digits need a word nearby.
_FORMS: list[tuple[re.Pattern[str], Any]] = [
    (re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"), ssn),
    (re.compile(r"(?<![\w-])9\d{2}-\d{2}-\d{4}(?![\w-])"), itin),
    (re.compile(r"(?<!\w)[XYZ]-?\d{7}-?[A-Z](?!\w)"), nie),
    (re.compile(r"(?<!\w)\d{8}-?[A-Z](?!\w)"), dni),
    (re.compile(r"(?<![\w.])[12] ?\d\d ?[0-3]\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d(?![\w.])"), nir),
    (re.compile(r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\w-])"), cpf),
    (re.compile(r"(?<![\w-])\d{4} \d{4} \d{4}(?![\w-]| \d)"), aadhaar),
    (re.compile(r"(?<!\w)756\.\d{4}\.\d{4}\.\d{2}(?!\w)"), ch_ssn),
    (re.compile(r"(?<![\w-])\d{6}[-+A]\d{3}[0-9A-Y](?![\w-])"), hetu),
    (re.compile(r"(?<![\w-])(?:\d{2})?\d{6}[-+]\d{4}(?![\w-])"), personnummer),
    (re.compile(r"(?<![\w.])\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}(?![\w.])"), be_nn),
    (re.compile(r"(?<!\w)\d{8} \d [A-Z]{2}\d(?!\w)"), pt_cc),
]  # fmt: skip
# No checksum, but a form that nothing else has: HMRC's rules for National Insurance numbers.
_NINO = re.compile(r"(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)")
_PLAIN: list[tuple[re.Pattern[str], Any, re.Pattern[str]]] = [
    (re.compile(r"(?<![\w-])\d{9}(?![\w-])"), ssn, re.compile(r"social security|\bssn\b", re.I)),
    (re.compile(r"(?<![\w-])\d{3}[ -]?\d{3}[ -]?\d{3}(?![\w-])"), sin, re.compile(r"\bSIN\b|social insurance", re.I)),
    (re.compile(r"(?<![\w-])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\w-])"), nhs, re.compile(r"\bNHS\b", re.I)),
    (re.compile(r"(?<![\w-])\d{11}(?![\w-])"), pesel, re.compile(r"\bPESEL\b", re.I)),
    (re.compile(r"(?<![\w-])\d{2} ?\d{3} ?\d{3} ?\d{3}(?![\w-])"), idnr, re.compile(r"Steuer|\bIdNr|tax id", re.I)),
    (re.compile(r"(?<![\w-])\d{9}(?![\w-])"), bsn, re.compile(r"\bBSN\b|burgerservice", re.I)),
    (re.compile(r"(?<![\w-])\d{3} ?\d{3} ?\d{3}(?![\w-])"), tfn, re.compile(r"\bTFN\b|tax file", re.I)),
    (re.compile(r"(?<![\w-])\d{12}(?![\w-])"), aadhaar, re.compile(r"aadha+r", re.I)),
    (re.compile(r"(?<![\w-])\d{11}(?![\w-])"), cpf, re.compile(r"\bCPF\b", re.I)),
    (re.compile(r"(?<![\w-])\d{6} ?\d{5}(?![\w-])"), fodselsnummer, re.compile(r"f[oø]dselsnummer|personnummer", re.I)),
    (re.compile(r"(?<![\w-])\d{6}-?\d{4}(?![\w-])"), cpr, re.compile(r"\bCPR\b", re.I)),
    (re.compile(r"(?<![\w-])(?:\d{2})?\d{6}-?\d{4}(?![\w-])"), personnummer, re.compile(r"personnummer", re.I)),
]
# These need not have six digits. A lookbehind that comes second lets the search skip to the first capital.
_FISCAL_CODE = re.compile(
    r"[A-Z](?<!\w.)[A-Z]{5}[\dL-NP-V]{2}[A-Z][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z](?!\w)", re.DOTALL
)
_PAN, _PAN_WORD = re.compile(r"(?<!\w)[A-Z]{5}\d{4}[A-Z](?!\w)"), re.compile(r"\bPAN\b")
CONTEXT_CHARS = 60


def find_cards(text: str) -> Iterator[Finding]:
    """Payment card numbers: an issuer's prefix and length, and Luhn's checksum."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _CARD_ISSUERS.fullmatch(digits) and luhn.is_valid(digits) and len(set(digits)) > 1:
            yield Finding(match.start(), match.end(), "card")


def find_ibans(text: str) -> Iterator[Finding]:
    """International bank account numbers, ISO 13616: a country's length and format, and modulus 97."""
    for match in _IBAN.finditer(text):
        candidate = match[0]
        while len(candidate) >= 15:
            if iban.is_valid(candidate, check_country=False):
                yield Finding(match.start(), match.start() + len(candidate), "iban")
                break
            shorter = candidate.rpartition(" ")[0]  # the next word may be capitals, too
            if not shorter:
                break
            candidate = shorter


def find_national_ids(text: str) -> Iterator[Finding]:
    """National ids whose form and checksum are right; bare digits only beside a word that says what they are."""
    lines = list(find_lines(text, _DIGITS))
    for pattern, checksum in _FORMS:
        for start, end in lines:
            for match in pattern.finditer(text, start, end):
                if checksum.is_valid(match[0]):
                    yield Finding(match.start(), match.end(), "national-id")
    for match in _FISCAL_CODE.finditer(text):
        if codicefiscale.is_valid(match[0]):
            yield Finding(match.start(), match.end(), "national-id")
    for start, end in lines:
        for match in _NINO.finditer(text, start, end):
            yield Finding(match.start(), match.end(), "national-id")
    for pattern, checksum, word in _PLAIN:
        for start, end in lines:
            yield from _find_named(text, pattern.finditer(text, start, end), checksum, word)
    if "PAN" in text:
        yield from _find_named(text, _PAN.finditer(text), pan, _PAN_WORD)


def _find_named(text: str, matches: Iterable[re.Match[str]], checksum: Any, word: re.Pattern[str]) -> Iterator[Finding]:
    """Those of the matches whose checksum is right and beside which the word stands, on whatever line."""
    for match in matches:
        around = text[max(0, match.start() - CONTEXT_CHARS) : match.end() + CONTEXT_CHARS // 2]
        if word.search(around) and checksum.is_valid(match[0]):
            yield Finding(match.start(), match.end(), "national-id")
