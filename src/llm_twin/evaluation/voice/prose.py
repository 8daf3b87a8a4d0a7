"""An author's own running prose out of Markdown, and pieces of equal length from it.

Fifteen words of code or navigation in a hundred move the voice score by a third of its scale, so what is not prose
goes: front matter, code, quotations, headings, tables, lists of links, mathematics, HTML. Quotes and dashes are
made alike, because typography is the publisher's as often as the author's.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable

MIN_PARAGRAPH_WORDS = 10
MIN_FUNCTION_SHARE = 0.2  # running English has two function words in five

FRONT_MATTER = re.compile(r"\A\s*(?:---\s*\n.*?\n(?:---|\.\.\.)\s*\n|\+\+\+\s*\n.*?\n\+\+\+\s*\n)", re.DOTALL)
HEADER_LINES = re.compile(r"\A(?:[A-Za-z][\w -]{0,30}:[^\n]*\n)+\s*\n")  # Pelican: `Title: …`
BLOCKS = [
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^(?P<fence>[ \t]*(?:`{3,}|~{3,})).*?(?:^(?P=fence)[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE),
    re.compile(
        r"<(pre|code|script|style|figure|table|svg|math|aside|blockquote|iframe)\b.*?</\1\s*>", re.DOTALL | re.I
    ),
    re.compile(r"\{%-?\s*(?:raw|highlight|codeblock)\b.*?\{%-?\s*end\w+.*?%\}", re.DOTALL),
    re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{<.*?>\}", re.DOTALL),
    re.compile(r"\$\$.*?\$\$|\\\[.*?\\\]|\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL),
]
NOT_PROSE_LINE = re.compile(
    r"^(?: {4,}\S|\t|\s{0,3}#{1,6}(?:\s|$)|\s*>|\s*\|.*\||\s{0,3}\[[^\]]+\]:\s|\s{0,3}(?:[-*_=]\s*){3,}$"
    r"|\s*!\[|\s*:{3}|\s*\.\.\s\w|\s*\{:|\s*import\s+\w+\s*;?$|\s*@\w)"
)
LIST_ITEM = re.compile(r"^\s{0,8}(?:[-*+•]|\d{1,3}[.)])\s+")
IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\])")
REFERENCE = re.compile(r"\[\^[^\]]*\]|\[(\d{1,3})\]")
BARE_URL = re.compile(r"<?\b(?:https?://|www\.)\S+>?")
INLINE_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
INLINE_MATH = re.compile(r"(?<![\w$])\$(?!\s)[^$\n]{1,200}?(?<!\s)\$(?![\w$])")
TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
EMPHASIS = re.compile(r"(?<![\w*])\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?![\w*])|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)")
ALIKE = str.maketrans(
    {"‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
     "–": "-", "—": "-", "―": "-", "−": "-", "…": "...", "\u00a0": " ", "\u202f": " ", "\u200b": "", "\ufeff": ""}
)  # fmt: skip
DASHES = re.compile(r"\s+-{1,3}\s+|(?<=\w)-{2,3}(?=\w)")
GLUED = re.compile(r"(?<=[a-z0-9.!?:)”\"])(?=[A-Z][a-z]+ )")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
COMMON = frozenset(
    "the of and a to in is it that was for on as with be at by i this had not are but from or have an they which "
    "one you were all her she there would their we him been has when who will no more if out so what up its about "
    "into than them can only other time new some could these two may then do first any my now such like our over "
    "me even most made after also did many off before must well through your how because just very much he his".split()
)


def extract_prose(text: str) -> list[str]:
    """The prose paragraphs of a Markdown or plain text, in order, each on one line with single spaces.

    A list item of ten words or more that ends as a sentence does counts as prose; shorter ones do not.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = FRONT_MATTER.sub("", text)
    text = HEADER_LINES.sub("", text)
    for pattern in BLOCKS:
        text = pattern.sub("\n\n", text)
    paragraphs = []
    for block in _blocks(text):
        cleaned = _clean(block)
        if _is_prose(cleaned):
            paragraphs.append(cleaned)
    return paragraphs


def cut_pieces(paragraphs: Iterable[str], words: int) -> list[str]:
    """The paragraphs as pieces of exactly `words` words (by white space); a shorter rest is dropped.

    Paragraph breaks inside a piece stay, as newlines.
    """
    pieces: list[str] = []
    piece: list[str] = []
    count = 0
    for paragraph in paragraphs:
        tokens = paragraph.split()
        while tokens:
            taken, tokens = tokens[: words - count], tokens[words - count :]
            piece.append(" ".join(taken))
            count += len(taken)
            if count == words:
                pieces.append("\n".join(piece))
                piece, count = [], 0
    return pieces


def count_words(paragraphs: Iterable[str]) -> int:
    """Words by white space."""
    return sum(len(paragraph.split()) for paragraph in paragraphs)


def _blocks(text: str) -> Iterable[str]:
    """Paragraphs: runs of prose lines; a list item begins its own."""
    block: list[str] = []
    for line in text.split("\n"):
        item = LIST_ITEM.match(line)
        if not line.strip() or item or NOT_PROSE_LINE.match(line):
            if block:
                yield " ".join(block)
            block = [line[item.end() :]] if item else []
            continue
        block.append(line.strip())
    if block:
        yield " ".join(block)


def _clean(block: str) -> str:
    block = unicodedata.normalize("NFKC", html.unescape(block))  # letters in mathematical bold, ligatures
    block = IMAGE.sub(" ", block)
    for _ in range(2):
        block = LINK.sub(r"\1", block)
    block = REFERENCE.sub("", block)
    block = BARE_URL.sub(" ", block)
    block = INLINE_CODE.sub(" x ", block)
    block = INLINE_MATH.sub(" x ", block)
    block = TAG.sub("", block)
    block = EMPHASIS.sub("", block)
    block = block.translate(ALIKE)
    block = DASHES.sub(" - ", block)
    if len(GLUED.findall(block)) > len(block) / 2000 + 1 and len(block) > 1500:
        block = GLUED.sub(" ", block)
    return " ".join(block.split())


def _is_prose(paragraph: str) -> bool:
    tokens = paragraph.split()
    if len(tokens) < MIN_PARAGRAPH_WORDS:
        return False
    words = [word.lower() for word in WORD.findall(paragraph)]
    if len(words) < 0.75 * len(tokens):
        return False
    if sum(word in COMMON for word in words) < MIN_FUNCTION_SHARE * len(words):
        return False
    return paragraph.rstrip("\"')*_ ").endswith((".", "!", "?", ":", ";", "..."))
