"""Known-item queries made from a corpus itself: a sentence of a document, that is to find the rest of the document.

The chunk that the sentence stands in is hidden from the search, as a real question stands nowhere in the corpus; so
words that the two share by being the same text are no help, and what is to be found has several places, as the
answer to a question about a subject has. No query carries a judgement by anyone: settings can be fitted to them
without looking at a test collection.
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
    """A query, the chunk that it was taken from, which is to be hidden, and the document's others, to be found."""

    query: str
    source_chunk: str
    answers: frozenset[str]


def make_known_items(chunks: Iterable[Chunk], count: int, seed: int = 20) -> list[KnownItem]:
    """At most `count` queries, one a document of two chunks or more."""
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
            query = " ".join(generator.choice(sentences).split())
            answers = frozenset(one.chunk_id for one in own) - {chunk.chunk_id}
            items.append(KnownItem(query, chunk.chunk_id, answers))
    generator.shuffle(items)
    return items[:count]
