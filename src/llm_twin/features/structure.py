"""Markdown as blocks with exact character spans: headings, fenced code, paragraphs, lists and tables."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")


@dataclass(frozen=True)
class Block:
    """One block: `text[start:end]`; `level` is 1 to 6 for a heading, 0 for the rest."""

    kind: str  # heading, code, text
    start: int
    end: int
    level: int = 0
    title: str = ""


def split_blocks(text: str) -> list[Block]:
    """The blocks of a Markdown text in order, blank lines between them left out (CommonMark 0.31, the part we need)."""
    blocks: list[Block] = []
    fence = ""
    begin: int | None = None  # of the open code or text block
    offset = 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        start, offset = offset, offset + len(line)
        opening = _FENCE.match(bare)
        if fence:
            if opening and opening[1].startswith(fence) and bare.strip() == opening[1]:
                blocks.append(Block("code", begin or 0, start + len(bare)))
                fence, begin = "", None
            continue
        if opening:
            _close(blocks, text, begin, start)
            fence, begin = opening[1], start
            continue
        heading = _HEADING.match(bare)
        if heading:
            _close(blocks, text, begin, start)
            begin = None
            blocks.append(Block("heading", start, start + len(bare), len(heading[1]), heading[2]))
            continue
        underline = _UNDERLINE.match(bare)
        if underline and begin is not None and "\n" not in text[begin:start].strip("\n"):
            title = text[begin:start].strip()
            blocks.append(Block("heading", begin, start + len(bare), 1 if "=" in underline[1] else 2, title))
            begin = None
            continue
        if not bare.strip():
            _close(blocks, text, begin, start)
            begin = None
        elif begin is None:
            begin = start
    if begin is not None:
        if fence:  # never closed: code up to the end
            blocks.append(Block("code", begin, len(text.rstrip())))
        else:
            _close(blocks, text, begin, len(text))
    return blocks


def _close(blocks: list[Block], text: str, begin: int | None, end: int) -> None:
    if begin is not None:
        stop = begin + len(text[begin:end].rstrip())
        if stop > begin:
            blocks.append(Block("text", begin, stop))


class Outline:
    """Which headings stand above a character."""

    def __init__(self, blocks: list[Block]) -> None:
        self._starts: list[int] = []
        self._paths: list[list[str]] = []
        path: list[tuple[int, str]] = []
        for block in blocks:
            if block.kind == "heading":
                path = [*(one for one in path if one[0] < block.level), (block.level, block.title)]
                self._starts.append(block.start)
                self._paths.append([title for _, title in path if title])

    def path_at(self, offset: int) -> list[str]:
        """The titles from the top down to the section that holds `offset`; a heading belongs to its own section."""
        at = bisect_right(self._starts, offset) - 1
        return self._paths[at] if at >= 0 else []
