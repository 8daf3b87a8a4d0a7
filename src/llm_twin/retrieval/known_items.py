"""Known-item queries made from a corpus itself: a sentence of a document, that is to find the rest of the document.

What the sentence stands in is hidden from the search, as a real question stands nowhere in the corpus; so words that
the two share by being the same text are no help, and what is to be found has several places, as the answer to a
question about a subject has (the inverse cloze task of Lee, Chang and Toutanova 2019). No query carries a judgement
by anyone: settings can be fitted to them without looking at a test collection.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llm_twin.documents import Chunk
from llm_twin.features.sparse import split_terms
from llm_twin.support import split_sentences

SENTENCE_WORDS = range(6, 31)
MIN_TERMS = 5  # different words that carry meaning: fewer name no subject
MIN_PROSE = 0.9  # share of letters and blanks
REACH = 10  # chunks before and after the sentence's own that count as its subject
_MARKUP = re.compile(r"[\[\]{}<>|=`*_#\\]|://")


@dataclass(frozen=True)
class KnownItem:
    """A query, the document it is from, the chunks to be hidden from the search and those to be found."""

    query: str
    document_id: str
    hidden: tuple[str, ...]
    answers: frozenset[str]


def make_known_items(chunks: Iterable[Chunk], count: int, seed: int = 20) -> list[KnownItem]:
    """At most `count` queries from documents of two chunks or more, at most one a chunk.

    Each document gives one before any gives its second, so that long ones do not outweigh the rest.
    """
    generator = random.Random(seed)
    by_document: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_document[chunk.document_id].append(chunk)
    rounds: list[list[KnownItem]] = []
    for document_id in sorted(by_document):
        own = sorted(by_document[document_id], key=lambda chunk: chunk.position)
        if len(own) < 2:
            continue
        ids = [chunk.chunk_id for chunk in own]
        number = 0
        for at in generator.sample(range(len(own)), len(own)):
            sentences = find_subjects(own[at].text)
            if not sentences:
                continue
            if number == len(rounds):
                rounds.append([])
            answers = frozenset(ids[max(0, at - REACH) : at] + ids[at + 1 : at + 1 + REACH])
            rounds[number].append(KnownItem(generator.choice(sentences), document_id, (ids[at],), answers))
            number += 1
    items: Sequence[KnownItem] = [item for one in rounds for item in generator.sample(one, len(one))][:count]
    return generator.sample(items, len(items))


def find_subjects(text: str) -> list[str]:
    """Sentences of a text that could be asked for: of prose, of some length, of words that carry meaning."""
    found = []
    for sentence in split_sentences(text):
        words = sentence.text.split()
        line = " ".join(words)
        if len(words) not in SENTENCE_WORDS or len(set(split_terms(line))) < MIN_TERMS:
            continue
        if not _MARKUP.search(line) and sum(one.isalpha() or one == " " for one in line) >= MIN_PROSE * len(line):
            found.append(line)
    return found
