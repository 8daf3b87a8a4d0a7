"""Passages: the slices of a document that samples are made of, each with where exactly it stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llm_twin.datasets.blocks import Block, sentence_spans, split_blocks
from llm_twin.documents import CleanDocument
from llm_twin.similarity.tokens import WORD

USABLE = ("prose", "list")


@dataclass(frozen=True)
class Passage:
    """`text == document.text[start:end]`: the author's own words, nothing added and nothing taken away."""

    document: CleanDocument
    start: int
    end: int
    headings: tuple[str, ...]  # path of headings above it
    paragraphs: int  # how many blocks it spans; 0 for part of one
    before: str = ""  # the passage before it under the same heading, if any
    code: str = ""  # the code block that it directly follows or leads into, if any
    whole: bool = False  # it is all of the document's prose

    @property
    def text(self) -> str:
        """The slice itself."""
        return self.document.text[self.start : self.end]


def count_words(text: str) -> int:
    """Words as letters and digits with inner apostrophes."""
    return sum(1 for _ in WORD.finditer(text))


def cut_passages(document: CleanDocument, min_words: int, max_words: int) -> list[Passage]:
    """Cut a document into disjoint passages of `min_words` to `max_words` words, none across a heading or code.

    A block that is longer than `max_words` is cut between sentences; what is shorter than `min_words` and has no
    neighbour to join is left out, as are quotes, tables, images, raw HTML and code itself.
    """
    text = document.text
    passages: list[Passage] = []
    for headings, run, code in _runs(text):
        before = ""
        for start, end, paragraphs in _pack(text, run, max_words):
            passage_text = text[start:end]
            if count_words(passage_text) >= min_words:
                passages.append(Passage(document, start, end, headings, paragraphs, before, code))
                code = ""
            before = passage_text
    if len(passages) == 1 and _prose_words(text) == count_words(passages[0].text):
        only = passages[0]
        return [Passage(document, only.start, only.end, only.headings, only.paragraphs, whole=True)]
    return passages


def _prose_words(text: str) -> int:
    return sum(count_words(text[b.start : b.end]) for b in split_blocks(text) if b.kind in USABLE)


def _runs(text: str) -> Iterator[tuple[tuple[str, ...], list[Block], str]]:
    """Runs of neighbouring usable blocks: the headings above, the blocks, the code block right before them."""
    path: list[tuple[int, str]] = []
    run: list[Block] = []
    code = ""
    for block in split_blocks(text):
        if block.kind in USABLE:
            run.append(block)
            continue
        if run:
            yield tuple(title for _, title in path), run, code
            run, code = [], ""
        if block.kind == "heading":
            path = [entry for entry in path if entry[0] < block.level] + [(block.level, block.title)]
        code = text[block.start : block.end] if block.kind == "code" else ""
    if run:
        yield tuple(title for _, title in path), run, code


def _pack(text: str, run: list[Block], max_words: int) -> Iterator[tuple[int, int, int]]:
    """Join neighbouring blocks up to `max_words`; cut those that are longer. Yields (start, end, blocks)."""
    begin, end, words, count = -1, -1, 0, 0
    for block in run:
        size = count_words(text[block.start : block.end])
        if count and words + size > max_words:
            yield begin, end, count
            begin, words, count = -1, 0, 0
        if size > max_words:
            yield from ((s, e, 0) for s, e in _cut_long(text, block, max_words))
            continue
        if not count:
            begin = block.start
        end, words, count = block.end, words + size, count + 1
    if count:
        yield begin, end, count


def _cut_long(text: str, block: Block, max_words: int) -> Iterator[tuple[int, int]]:
    """Cut one long block between sentences. A single sentence over `max_words` is left out: half is not his."""
    begin, end, words = -1, -1, 0
    for start, stop in sentence_spans(text, block.start, block.end):
        size = count_words(text[start:stop])
        if words and words + size > max_words:
            yield begin, end
            words = 0
        if size > max_words:
            continue
        if not words:
            begin = start
        end, words = stop, words + size
    if words:
        yield begin, end
