"""Undo what hides words from a reader of words: invisible characters, look-alikes, spaced letters, codes.

Each way back is tried, and kept only where it brings words to light that orders to a model are made of.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

_INVISIBLE = re.compile("[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_TAGS = {code: code - 0xE0000 for code in range(0xE0020, 0xE007F)}  # Unicode's invisible copies of ASCII
_SPACED = re.compile(r"\b(?:\w[ .\-_*|/]){4,}\w\b")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9a-fA-F]{2}[\s,]*){8,}")
_BINARY = re.compile(r"(?:[01]{8}[\s,]*){6,}")
_CODES = re.compile(r"(?:\b(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])\b[\s,;]*){8,}")
_ESCAPES = re.compile(r"\\u[0-9a-fA-F]{4}|&#x?[0-9a-fA-F]+;|%[0-9a-fA-F]{2}")
_MORSE = re.compile(r"(?:[.\-]{1,5}[ /|]+){6,}[.\-]{1,5}")
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_LEET_WORD = re.compile(r"\b(?=[\w@$!]*[a-zA-Z])(?=[\w@$!]*[0134578@$!])[\w@$!]{3,}\b")
# Cyrillic and Greek letters that look Latin
_LOOKALIKES = str.maketrans("аеорсухіјѕѵһԁԛԝοαερτυικνμ", "aeopcyxijsvhdqwoaeptuikvu")
_TELLING = re.compile(
    r"ignore|instruct|prompt|system|\brules?\b|reveal|forget|disregard|restrict|previous|secret|password|obey|bypass"
    r"|\bhow to\b|\bbomb\b|jailbreak|override|unfilter|print|repeat|\byou are\b|answer",
    re.I,
)
_LETTERS = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE_LETTERS = {code: chr(97 + i) for i, code in enumerate(_LETTERS.split())}


def readings(text: str) -> list[str]:
    """The text as it may be meant, at most some eight ways: itself, cleaned, is the first."""
    plain = _clean(text)
    return [plain, *dict.fromkeys(found for found in _decoded(text, plain) if found != plain)]


def _clean(text: str) -> str:
    """The text in compatibility form, without what cannot be seen and with look-alikes as Latin letters (in words
    that mix both)."""
    shown = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text.translate(_TAGS)))
    return re.sub(r"\w+", lambda m: m.group().translate(_LOOKALIKES) if _is_mixed(m.group()) else m.group(), shown)


def _is_mixed(word: str) -> bool:
    return any("a" <= c.lower() <= "z" for c in word) and not word.isascii()


def _decoded(text: str, plain: str) -> Iterator[str]:
    joined = _SPACED.sub(lambda match: re.sub(r"[ .\-_*|/]", "", match.group()), re.sub(r" {2,}", "\0", plain))
    if _tells_more(joined, plain):
        yield joined.replace("\0", " ")
    leet = _LEET_WORD.sub(lambda match: match.group().translate(_LEET), plain)
    if _tells_more(leet, plain):
        yield leet
    for match in _BASE64.finditer(plain):
        decoded = _from_base64(match.group())
        if _TELLING.search(decoded):
            yield decoded
    for pattern, decode in ((_HEX, _from_hex), (_BINARY, _from_binary), (_CODES, _from_codes), (_MORSE, _from_morse)):
        for match in list(pattern.finditer(plain))[:4]:
            decoded = decode(match.group())
            if _TELLING.search(decoded):
                yield decoded
    if _ESCAPES.search(plain):
        decoded = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m.group(1), 16)), unquote(html.unescape(plain)))
        if _tells_more(decoded, plain):
            yield decoded
    for turned in (codecs.decode(plain, "rot13"), plain[::-1], " ".join(word[::-1] for word in plain.split())):
        if _tells_more(turned, plain, by=2):
            yield turned


def _tells_more(decoded: str, plain: str, by: int = 1) -> bool:
    """Whether decoding brought telling words to light."""
    return len(set(map(str.lower, _TELLING.findall(decoded)))) >= len(set(map(str.lower, _TELLING.findall(plain)))) + by


def _from_base64(blob: str) -> str:
    blob = blob.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        decoded = base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return decoded if decoded.isprintable() else ""


def _from_hex(blob: str) -> str:
    digits = re.sub(r"0x|\\x|[\s,]", "", blob)
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("utf-8", "replace")


def _from_binary(blob: str) -> str:
    return bytes(int(byte, 2) for byte in re.findall(r"[01]{8}", blob)).decode("utf-8", "replace")


def _from_codes(blob: str) -> str:
    return "".join(chr(int(code)) for code in re.findall(r"\d+", blob))


def _from_morse(blob: str) -> str:
    words = re.split(r"\s*[/|]\s*|\s{2,}", blob.strip())
    return " ".join("".join(_MORSE_LETTERS.get(code, "") for code in word.split()) for word in words)
