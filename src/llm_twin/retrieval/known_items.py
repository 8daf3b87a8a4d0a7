"""Known-item queries made from a corpus itself: a document's title, or a sentence of it, that is to find the rest.

The queries carry no judgement by anyone: settings can be fitted to them without looking at a test collection.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from llm_twin.documents import Chunk
from llm_twin.support import split_sentences

SENTENCE_WORDS = range(6, 31)


@dataclass(frozen=True)
class KnownItem:
    """A query, the document that it is to find, and the chunk that it was taken from, which does not count."""

    query: str
    document_id: str
    source_chunk: str


def make_known_items(chunks: Iterable[Chunk], count: int, seed: int = 20) -> list[KnownItem]:
    """At most `count` queries, one a document of two chunks or more: a sentence of one chunk, to find another.

    The chunk that the sentence stands in is left out of what is found, so a match of the very words is no help.
    """
    generator = random.Random(seed)
    by_document: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_document[chunk.document_id].append(chunk)
    items: list[KnownItem] = []
    for document_id in sorted(by_document):
        own = sorted(by_document[document_id], key=lambda chunk: chunk.position)
        if len(own) < 2:
            continue
        chunk = generator.choice(own)
        sentences = [one.text for one in split_sentences(chunk.text) if len(one.text.split()) in SENTENCE_WORDS]
        if sentences:
            items.append(KnownItem(" ".join(generator.choice(sentences).split()), document_id, chunk.chunk_id))
    generator.shuffle(items)
    return items[:count]
