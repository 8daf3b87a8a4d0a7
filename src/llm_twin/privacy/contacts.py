"""E-mail addresses, phone numbers and IP addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher

from llm_twin.lines import find_lines
from llm_twin.privacy.findings import Finding

# Linear in the text's length: each part is bounded, and begins only where no part of an address stands before it.
_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[A-Za-z0-9\u00a1-\uffff](?:[A-Za-z0-9\u00a1-\uffff-]{0,62})\.){1,8}"
    r"[A-Za-z\u00a1-\uffff]{2,24}(?![\w@])"
)
# RFC 2606 and 6761: names that belong to nobody, for examples and tests.
_NOBODYS_DOMAIN = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org|edu))?|test|invalid|localhost|local)$", re.IGNORECASE
)
_MACHINE_USERS = {"git", "hg", "svn", "noreply", "no-reply", "donotreply"}
_FILE_SUFFIXES = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js")  # logo@2x.png is a file

_IPV4 = re.compile(r"(?<![\w.:/-])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_VERSION_BEFORE = re.compile(r"(?:\bv|\bversions?\s|\brelease\s|[=<>~^]=?\s?)$", re.IGNORECASE)

# Six digits with no more between them than libphonenumber allows: Norway's shortest numbers have seven.
_DIGITS = re.compile(r"\d(?:[^\dA-Za-wyz\n]{0,5}\d){5}")
_DIGIT = re.compile(r"\d")
_MIN_NATIONAL_DIGITS = 9
_PLUS = re.compile("[+\uff0b]")
# Without a country code, a number's country is guessed from the regions below, and it must be written in groups.
NATIONAL_REGIONS = ("US", "GB", "DE", "FR")
_DATE = re.compile(r"\d{4}[-/.]\d\d[-/.]\d\d|\d\d[-/.]\d\d[-/.]\d{4}")


def find_emails(text: str) -> Iterator[Finding]:
    """Addresses of people; those of example domains and of machines are nobody's."""
    for match in _EMAIL.finditer(text):
        local, _, domain = match[0].rpartition("@")
        if _NOBODYS_DOMAIN.search(domain) or local.lower() in _MACHINE_USERS:
            continue
        if domain.lower().endswith(_FILE_SUFFIXES) and re.match(r"\d+x\.", domain):
            continue
        start = match.start() + len(local) - len(local.lstrip("'.%-"))
        yield Finding(start, match.end(), "email")


def find_phones(text: str) -> Iterator[Finding]:
    """Valid numbers by phonenumbers (Google's libphonenumber), international ones anywhere, national ones in groups.

    No number goes over the end of a line, so only lines with digits enough are read: the matcher is slow.
    """
    for start, end in find_lines(text, _DIGITS):
        yield from _find_in_line(text[start:end], start)


def _find_in_line(text: str, offset: int) -> Iterator[Finding]:
    taken: list[tuple[int, int]] = []
    if _PLUS.search(text):  # without a region only numbers with a country's code are valid
        for match in PhoneNumberMatcher(text, None, leniency=Leniency.VALID):
            taken.append((match.start, match.end))
            yield Finding(offset + match.start, offset + match.end, "phone")
    if len(_DIGIT.findall(text)) < _MIN_NATIONAL_DIGITS:
        return
    for region in NATIONAL_REGIONS:
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING):
            if any(match.start < end and start < match.end for start, end in taken):
                continue
            if not _is_written_as_phone(text, match.start, match.raw_string):
                continue
            taken.append((match.start, match.end))
            yield Finding(offset + match.start, offset + match.end, "phone")


def _is_written_as_phone(text: str, start: int, number: str) -> bool:
    """Whether a national number is in groups, and neither a date, a decimal nor part of a longer run of digits."""
    digits = sum(character.isdigit() for character in number)
    groups = re.split(r"\D+", number.strip())
    if digits < _MIN_NATIONAL_DIGITS or len([g for g in groups if g]) < 3 or _DATE.search(number):
        return False
    around = text[max(0, start - 1) : start] + text[start + len(number) : start + len(number) + 1]
    return not re.search(r"[\w.,/=#$€£-]", around.replace(". ", "").rstrip(".,")) and "." not in number[:4]


def find_ip_addresses(text: str) -> Iterator[Finding]:
    """Addresses of machines that are someone's: not loopback, unspecified, netmasks or version numbers."""
    for match in _IPV4.finditer(text):
        try:
            address = ipaddress.IPv4Address(match[0])
        except ValueError:
            continue
        if address.is_loopback or int(address) >> 24 in (0, 255) or _is_network(match[0]):
            continue
        if not _VERSION_BEFORE.search(text[max(0, match.start() - 10) : match.start()]):
            yield Finding(match.start(), match.end(), "ip-address")
    for match in _IPV6.finditer(text):
        candidate = match[0]
        try:
            six = ipaddress.IPv6Address(candidate)
        except ValueError:
            continue
        if len(candidate) >= 6 and not (six.is_loopback or six.is_unspecified):
            yield Finding(match.start(), match.end(), "ip-address")


def _is_network(address: str) -> bool:
    """10.0.0.0 names a network, not a machine."""
    return address.endswith(".0.0")


def is_valid_phone(number: str, region: str | None = None) -> bool:
    """Whether libphonenumber takes it for a number that can be dialled."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False
