"""Undo what hides words from a reader of words: invisible characters, look-alikes, spaced letters, base64."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_SPACED = re.compile(r"\b(?:\w[ .\-_*]){4,}\w\b")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"})
_LEET_WORD = re.compile(r"\b(?=\w*[a-zA-Z])(?=\w*[0134578@$])[\w@$]{4,}\b")
_TELLING = ("instruction", "prompt", "ignore", "system", "rules", "reveal", "forget")
_LOOKALIKES = str.maketrans("аеорсухіјѕ", "aeopcyxijs")  # Cyrillic letters that look Latin


def readings(text: str) -> list[str]:
    """The text as it may be meant: itself, and with spaced letters joined, digits read as letters, base64
    decoded, and backwards; only those that differ."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_LOOKALIKES)
    found = [plain]
    joined = _SPACED.sub(lambda match: re.sub(r"[ .\-_*]", "", match.group()), re.sub(r" {2,}", "\0", plain))
    found.append(joined.replace("\0", " "))
    found.append(_LEET_WORD.sub(lambda match: match.group().translate(_LEET), plain))
    for match in _BASE64.finditer(plain):
        found.append(_decode(match.group()))
    backwards = plain[::-1].lower()
    if any(word in backwards for word in _TELLING):
        found.append(plain[::-1])
    return list(dict.fromkeys(reading for reading in found if reading))


def _decode(blob: str) -> str:
    try:
        decoded = base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return decoded if decoded.isprintable() else ""
