"""Cut documents into chunks that an encoder can see whole, each an exact span of the document's retrieval view."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from llm_twin.digests import digest_json
from llm_twin.documents import Chunk, CleanDocument, stable_id
from llm_twin.errors import InputError
from llm_twin.features.context import describe_place
from llm_twin.features.structure import Block, Outline, split_blocks
from llm_twin.recipes import FeaturesRecipe
from llm_twin.support import split_sentences

if TYPE_CHECKING:
    from llm_twin.embedding import Encoder

FORMAT = 2  # raise it when the same document and recipe give other chunks: the index is then built anew
Span = tuple[int, int]
Limit = Callable[[int], int]  # where a chunk's own text begins → how many tokens it may have
LEAST_SHARE = 0.25  # of what the model reads is always left to a chunk's text, however long what is said before it is
SMALL_SHARE = 0.25  # a section below this share of max_tokens is joined with the one that follows


class TokenCounter:
    """Counts tokens of spans of one text, which is tokenized once."""

    def __init__(self, tokenizer: Any, text: str) -> None:
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        self.starts = [start for start, end in offsets if end > start]
        self.ends = [end for start, end in offsets if end > start]

    def count(self, start: int, end: int) -> int:
        """Tokens that begin within text[start:end]."""
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def cut(self, start: int, end: int, max_tokens: int) -> list[Span]:
        """text[start:end] in runs of at most `max_tokens` tokens."""
        first, last = bisect_left(self.starts, start), bisect_left(self.starts, end)
        runs = range(first, last, max_tokens)
        return [(self.starts[at], min(self.ends[min(at + max_tokens, last) - 1], end)) for at in runs]


def chunk_documents(
    documents: Iterable[CleanDocument], recipe: FeaturesRecipe, encoder: Encoder | None = None
) -> Iterator[Chunk]:
    """Chunks of each document in order. The semantic chunker needs an encoder; the rest only its tokenizer.

    Sizes are in tokens of the recipe's embedder: at most max_tokens, and fewer where the model would not read as many
    after the title and headings that are embedded before them. Raises InputError for an overlap as large as a chunk.
    """
    from llm_twin.embedding import count_room, load_tokenizer

    tokenizer = encoder.tokenizer if encoder else load_tokenizer(recipe.embedder)
    if recipe.overlap_tokens >= recipe.max_tokens:
        raise InputError("features.overlap_tokens must be below max_tokens", "halve it")
    settings, room = describe_settings(recipe), count_room(recipe.embedder)
    for document in documents:
        yield from _chunk_document(document, recipe, settings, tokenizer, room, encoder)


def describe_settings(recipe: FeaturesRecipe) -> str:
    """Digest of what decides how a document is cut."""
    names = ("chunker", "max_tokens", "overlap_tokens", "embedder", "semantic_percentile", "context")
    return digest_json([FORMAT, recipe.model_dump(include=set(names))])[:16]


def _chunk_document(
    document: CleanDocument, recipe: FeaturesRecipe, settings: str, tokenizer: Any, room: int, encoder: Encoder | None
) -> Iterator[Chunk]:
    text = document.retrieval_text
    counter = TokenCounter(tokenizer, text)
    blocks = split_blocks(text)
    outline = Outline(blocks)
    limit_at = _limit(document.title, outline, recipe, tokenizer, room)
    if recipe.chunker == "structure":
        spans = _by_structure(text, blocks, counter, recipe, limit_at)
    else:
        smallest = min(limit_at(start) for start in [0, *(one.start for one in blocks if one.kind == "heading")])
        fitted = {"max_tokens": smallest, "overlap_tokens": min(recipe.overlap_tokens, smallest - 1)}
        spans = _CHUNKERS[recipe.chunker](text, counter, recipe.model_copy(update=fitted), encoder)
    source = str(document.metadata.get("source", ""))
    kept = (one for one in (_trim(text, span) for span in spans) if one[0] < one[1])
    for position, (start, end) in enumerate(kept):
        chunk_id = stable_id(document.document_id, document.revision_id, source, settings, str(position))
        yield Chunk(
            **document.model_dump(exclude={"text", "retrieval_text", "metadata"}),
            chunk_id=str(uuid.UUID(chunk_id)),
            headings=outline.path_at(_first_content(blocks, start, end)),
            position=position,
            start=start,
            end=end,
            text=text[start:end],
            metadata=document.metadata,
        )


def _limit(title: str, outline: Outline, recipe: FeaturesRecipe, tokenizer: Any, room: int) -> Limit:
    """How many tokens a chunk that begins somewhere may have, so that the model reads it and what is said before it."""
    known: dict[str, int] = {}

    def limit_at(offset: int) -> int:
        place = describe_place(title, outline.path_at(offset), recipe.context)
        if place not in known:
            left = room - len(tokenizer.encode(place, add_special_tokens=False))
            known[place] = min(recipe.max_tokens, max(left, int(room * LEAST_SHARE)))
        return known[place]

    return limit_at


def _first_content(blocks: list[Block], start: int, end: int) -> int:
    """Where a chunk's own text begins: after the headings that it opens with."""
    inside = [block for block in blocks if block.start < end and block.end > start]
    return next((max(block.start, start) for block in inside if block.kind != "heading"), start)


def _trim(text: str, span: Span) -> Span:
    piece = text[span[0] : span[1]]
    return span[0] + len(piece) - len(piece.lstrip()), span[0] + len(piece.rstrip())


def _by_tokens(text: str, counter: TokenCounter, recipe: FeaturesRecipe, encoder: Encoder | None) -> list[Span]:
    """Windows of max_tokens tokens that begin `max_tokens - overlap_tokens` apart, cut between words."""
    step = recipe.max_tokens - recipe.overlap_tokens
    spans: list[Span] = []
    for first in range(0, len(counter.starts), step):
        last = min(first + recipe.max_tokens, len(counter.starts)) - 1
        end = counter.ends[last]
        while last > first and end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
            last -= 1  # inside a word
            end = counter.ends[last]
        start = counter.starts[first]
        while spans and start > spans[-1][1]:
            start = spans[-1][1]  # what the cut between words left over
        spans.append((start, end))
        if first + recipe.max_tokens >= len(counter.starts) and last == len(counter.starts) - 1:
            break
    return spans


def _sentences(text: str, counter: TokenCounter, max_tokens: int, start: int = 0, end: int | None = None) -> list[Span]:
    """Sentences of text[start:end], with what stands between them, so that nothing is left out; long ones cut."""
    stop = len(text) if end is None else end
    begins = [start + sentence.start for sentence in split_sentences(text[start:stop])]
    edges = [start, *begins[1:], stop] if begins else [start, stop]
    spans = [(a, b) for a, b in zip(edges, edges[1:], strict=False) if text[a:b].strip()]
    parts: list[Span] = []
    for a, b in spans:
        parts.extend([(a, b)] if counter.count(a, b) <= max_tokens else counter.cut(a, b, max_tokens))
    return parts


def _pack(parts: list[Span], counter: TokenCounter, max_tokens: int, overlap: int) -> list[Span]:
    """Join neighbours while they fit; each chunk repeats whole parts of the last one, up to `overlap` tokens."""
    spans: list[Span] = []
    first = 0
    while first < len(parts):
        last = first
        while last + 1 < len(parts) and counter.count(parts[first][0], parts[last + 1][1]) <= max_tokens:
            last += 1
        spans.append((parts[first][0], parts[last][1]))
        if last + 1 >= len(parts):
            break
        following = last + 1
        while following - 1 > first and counter.count(parts[following - 1][0], parts[last][1]) <= overlap:
            following -= 1
        first = following
    return spans


def _by_sentences(text: str, counter: TokenCounter, recipe: FeaturesRecipe, encoder: Encoder | None) -> list[Span]:
    """Whole sentences, as many as fit."""
    return _pack(_sentences(text, counter, recipe.max_tokens), counter, recipe.max_tokens, recipe.overlap_tokens)


def _by_sliding(text: str, counter: TokenCounter, recipe: FeaturesRecipe, encoder: Encoder | None) -> list[Span]:
    """Windows of whole sentences that overlap by half, or by overlap_tokens."""
    overlap = recipe.overlap_tokens or recipe.max_tokens // 2
    return _pack(_sentences(text, counter, recipe.max_tokens), counter, recipe.max_tokens, overlap)


def _by_semantics(text: str, counter: TokenCounter, recipe: FeaturesRecipe, encoder: Encoder | None) -> list[Span]:
    """Sentences joined until the likeness of two neighbours falls into the document's lowest percentile."""
    import numpy as np

    if encoder is None:
        raise InputError("the semantic chunker needs the encoder", "pass it to chunk_documents")
    parts = _sentences(text, counter, recipe.max_tokens)
    if len(parts) < 3:
        return _pack(parts, counter, recipe.max_tokens, 0)
    vectors = encoder.encode([text[a:b] for a, b in parts])
    likeness = (vectors[1:] * vectors[:-1]).sum(axis=1)
    threshold = float(np.percentile(likeness, recipe.semantic_percentile))
    spans: list[Span] = []
    first = 0
    for at, value in enumerate(likeness, start=1):
        if value <= threshold:
            spans += _pack(parts[first:at], counter, recipe.max_tokens, 0)
            first = at
    return spans + _pack(parts[first:], counter, recipe.max_tokens, 0)


def _by_structure(
    text: str, blocks: list[Block], counter: TokenCounter, recipe: FeaturesRecipe, limit_at: Limit
) -> list[Span]:
    """Blocks of one section joined while they fit; code kept whole where it can be; small sections joined."""
    spans: list[Span] = []
    for section in _sections(blocks, counter, int(recipe.max_tokens * SMALL_SHARE), limit_at):
        limit = limit_at(_content_start(section))
        parts: list[Span] = []
        for block in section:
            if counter.count(block.start, block.end) <= limit:
                parts.append((block.start, block.end))
            elif block.kind == "code":
                parts += _cut_code(text, block, counter, limit)
            else:
                parts += _sentences(text, counter, limit, block.start, block.end)
        spans += _pack(parts, counter, limit, min(recipe.overlap_tokens, limit - 1))
    return spans


def _content_start(section: list[Block]) -> int:
    return next((block.start for block in section if block.kind != "heading"), section[0].start)


def _sections(blocks: list[Block], counter: TokenCounter, small: int, limit_at: Limit) -> list[list[Block]]:
    """Blocks grouped under their headings; a small group takes in the next while both fit in one chunk."""
    groups: list[list[Block]] = []
    for block in blocks:
        if not groups or (block.kind == "heading" and any(one.kind != "heading" for one in groups[-1])):
            groups.append([])
        groups[-1].append(block)
    joined: list[list[Block]] = []
    for group in groups:
        if joined:
            last = joined[-1]
            fits = counter.count(last[0].start, group[-1].end) <= limit_at(_content_start(last))
            if fits and counter.count(last[0].start, last[-1].end) < small:
                last.extend(group)
                continue
        joined.append(list(group))
    return joined


def _cut_code(text: str, block: Block, counter: TokenCounter, limit: int) -> list[Span]:
    """Code too long for a chunk, cut before unindented lines (functions, classes), then at any line, then anywhere."""
    edges = [block.start]
    offset = block.start
    for line in text[block.start : block.end].splitlines(keepends=True):
        if line.strip() and not line[0].isspace() and line[0] not in "})]" and offset > block.start:
            edges.append(offset)
        offset += len(line)
    edges.append(block.end)
    parts: list[Span] = []
    for start, end in zip(edges, edges[1:], strict=False):
        if counter.count(start, end) <= limit:
            parts.append((start, end))
            continue
        offset = start
        for line in text[start:end].splitlines(keepends=True):
            fits = counter.count(offset, offset + len(line)) <= limit
            whole = (offset, offset + len(line))
            parts += [whole] if fits else counter.cut(*whole, limit)
            offset += len(line)
    return [part for part in parts if text[part[0] : part[1]].strip()]


Chunker = Callable[[str, TokenCounter, FeaturesRecipe, "Encoder | None"], list[Span]]
_CHUNKERS: dict[str, Chunker] = {
    "sentences": _by_sentences,
    "tokens": _by_tokens,
    "sliding": _by_sliding,
    "semantic": _by_semantics,
}
