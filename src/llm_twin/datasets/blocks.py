"""A Markdown text as blocks with their exact character spans, so that a passage is always a slice of what was written.

The block structure is CommonMark's as far as it matters here: headings, fenced and indented code, quotes, lists,
tables, images and raw HTML set apart from prose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["prose", "list", "heading", "code", "quote", "other"]

HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
RULE = re.compile(r"^ {0,3}([-*_])(\s*\1){2,}\s*$")
LIST_ITEM = re.compile(r"^ {0,8}([-*+•]|\d{1,3}[.)])\s+\S")
IMAGE = re.compile(r"^\s*(\[?!\[[^\]]*\]\([^)]*\)(\]\([^)]*\))?\s*)+$")
SETEXT = re.compile(r"^ {0,3}(=+|-+)\s*$")
LINK_ONLY = re.compile(r"^\s*(<?https?://\S+>?|\[[^\]]*\]\([^)]*\)|\[[^\]]+\]:\s*\S+.*)\s*$")


@dataclass(frozen=True)
class Block:
    """`text[start:end]` of the document, without the line break at its end."""

    start: int
    end: int
    kind: BlockKind
    level: int = 0  # of a heading, 1 to 6
    title: str = ""  # of a heading, without its marks; of code, the language that its fence names


def split_blocks(text: str) -> list[Block]:
    """Cut a Markdown text into its blocks, in order; blank lines lie between them."""
    lines: list[tuple[int, str]] = []
    position = 0
    for line in text.splitlines(keepends=True):
        lines.append((position, line.rstrip("\r\n")))
        position += len(line)
    blocks: list[Block] = []
    index = 0
    while index < len(lines):
        start, line = lines[index]
        if not line.strip():
            index += 1
            continue
        fence = FENCE.match(line)
        if fence:
            last = _end_of_fence(lines, index, fence[1])
            blocks.append(_block(lines, index, last, "code", title=fence[2].strip().split(" ")[0]))
            index = last + 1
            continue
        heading = HEADING.match(line)
        if heading or RULE.match(line):
            kind: BlockKind = "heading" if heading else "other"
            level, title = (len(heading[1]), heading[2]) if heading else (0, "")
            blocks.append(_block(lines, index, index, kind, level, title))
            index += 1
            continue
        last = index
        while last + 1 < len(lines) and not _ends_paragraph(lines[last + 1][1]):
            last += 1
        if last > index and SETEXT.match(lines[last][1]) and last == index + 1:
            level = 1 if "=" in lines[last][1] else 2
            blocks.append(_block(lines, index, last, "heading", level, line.strip()))
        else:
            blocks.append(_block(lines, index, last, _paragraph_kind([text for _, text in lines[index : last + 1]])))
        index = last + 1
    return blocks


def _ends_paragraph(line: str) -> bool:
    return not line.strip() or bool(FENCE.match(line)) or bool(HEADING.match(line))


def _end_of_fence(lines: list[tuple[int, str]], first: int, mark: str) -> int:
    for index in range(first + 1, len(lines)):
        stripped = lines[index][1].strip()
        if stripped.startswith(mark) and not stripped.strip(mark[0]):
            return index
    return len(lines) - 1


def _block(
    lines: list[tuple[int, str]], first: int, last: int, kind: BlockKind, level: int = 0, title: str = ""
) -> Block:
    return Block(lines[first][0], lines[last][0] + len(lines[last][1]), kind, level, title)


def _paragraph_kind(lines: list[str]) -> BlockKind:
    first = lines[0]
    if first.startswith(("    ", "\t")) and not LIST_ITEM.match(first):
        return "code"
    if first.lstrip().startswith(">"):
        return "quote"
    if all(IMAGE.match(line) or LINK_ONLY.match(line) for line in lines):
        return "other"
    if first.lstrip().startswith("<") and re.match(r"\s*</?[a-zA-Z]", first):
        return "other"
    if sum(line.count("|") >= 2 for line in lines) == len(lines) and len(lines) > 1:
        return "other"
    if LIST_ITEM.match(first):
        return "list"
    return "prose"


SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s)")
LIST_MARK = re.compile(r"\s*(?:\d{1,3}|[A-Za-z])[.)]")
ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|cf|vs|etc|al|Mr|Mrs|Ms|Dr|Prof|St|No|Fig|Eq|approx|Inc|Ltd|Jr|Sr)|\b[A-Z])\.$"
)


def sentence_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The spans of the sentences in `text[start:end]`, without the white space between them."""
    spans: list[tuple[int, int]] = []
    begin = start
    for match in SENTENCE_END.finditer(text, start, end):
        if ABBREVIATION.search(text, max(start, match.end() - 12), match.end()):
            continue
        if LIST_MARK.fullmatch(text, begin, match.end()):
            continue
        following = text[match.end() : end].lstrip()[:1]
        if following and following.islower():
            continue
        spans.append((begin, match.end()))
        begin = match.end()
        while begin < end and text[begin].isspace():
            begin += 1
    if begin < end:
        spans.append((begin, end))
    return spans
