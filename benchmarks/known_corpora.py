"""Corpora with known-item queries made from their own text, each in an exact index: where settings are measured."""

from __future__ import annotations

import random
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.exact_index import ExactIndex
from benchmarks.ingestion import read_folder
from benchmarks.known_titles import read_handbook
from benchmarks.retrieval import read_corpus
from llm_twin.documents import Chunk, Document
from llm_twin.embedding import Encoder
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.cleaning import clean_document
from llm_twin.features.vectors import embedding_text
from llm_twin.recipes import FeaturesRecipe
from llm_twin.retrieval.known_items import KnownItem, find_subjects, make_known_items

# As the default recipe cuts, but without what a document's chunks share: it would give the answers away.
FEATURES = FeaturesRecipe(mask_pii=False, context="none")
SHORT_WORDS = 250  # documents of a median length below it are one passage each, as abstracts are
FEW_WORDS = 50  # what has fewer is no document: a page that shows something else
_FRONT_MATTER = re.compile(r"\A(?:\+\+\+\n.*?\n\+\+\+\n|---\n.*?\n---\n|(?:[A-Za-z_]+:[^\n]*\n)+\n)", re.DOTALL)


@dataclass(frozen=True)
class Corpus:
    """A corpus' queries and index; documents, so that the same can be put into another index."""

    name: str
    items: list[KnownItem]
    index: ExactIndex


def make_corpus(folder: Path, encoder: Encoder, queries: int, documents: int, seed: int = 20) -> Corpus:
    """At most `queries` known-item queries over at most `documents` documents of a folder.

    Long documents: the chunk that a query's sentence stands in is hidden, the other chunks are its answers. Short
    ones: the sentence is taken out before the document is indexed, and what is left of it is the answer.
    """
    texts = [_without_lead(document) for document in islice(read_documents(folder, documents), documents)]
    taken: dict[str, str] = {}
    sizes = [len(one.text.split()) for one in texts]
    if statistics.median([size for size in sizes if size >= FEW_WORDS] or sizes) < SHORT_WORDS:
        texts, taken = take_sentences_out(texts, queries, seed)
    clean = [one for one in (clean_document(text, FEATURES)[0] for text in texts) if one is not None]
    clean.sort(key=lambda one: one.document_id)
    chunks = [_bare(chunk) for chunk in chunk_documents(clean, FEATURES)]
    vectors = encoder.encode([embedding_text(chunk, FEATURES.context) for chunk in chunks])
    index = ExactIndex(chunks, vectors, FEATURES.context)
    return Corpus(folder.name, _to_items(taken, chunks) if taken else make_known_items(chunks, queries, seed), index)


def take_sentences_out(documents: list[Document], count: int, seed: int) -> tuple[list[Document], dict[str, str]]:
    """Documents, `count` of them without one sentence each, and those sentences by document."""
    generator = random.Random(seed)
    taken: dict[str, str] = {}
    left = {one.document_id: one for one in documents}
    for document in generator.sample(documents, len(documents)):
        sentences = [one for one in find_subjects(document.text) if one in document.text]
        if sentences and len(taken) < count:
            sentence = generator.choice(sentences)
            taken[document.document_id] = sentence
            rest = document.text.replace(sentence, " ")
            left[document.document_id] = document.model_copy(update={"text": rest})
    return list(left.values()), taken


def read_documents(folder: Path, limit: int) -> Iterator[Document]:
    """A folder's documents, whichever of the three forms it has."""
    if (folder / "corpus.jsonl").is_file():
        yield from read_corpus(folder / "corpus.jsonl")
    elif (folder / "ArticleDocument.json").is_file():
        yield from read_handbook(folder)[0]
    else:
        yield from read_folder(folder, limit)


def _to_items(taken: dict[str, str], chunks: list[Chunk]) -> list[KnownItem]:
    own: dict[str, list[str]] = defaultdict(list)
    for chunk in chunks:
        own[chunk.document_id].append(chunk.chunk_id)
    return [KnownItem(query, one, (), frozenset(own[one])) for one, query in taken.items() if own[one]]


def _without_lead(document: Document) -> Document:
    return document.model_copy(update={"text": _FRONT_MATTER.sub("", document.text), "title": ""})


def _bare(chunk: Chunk) -> Chunk:
    return chunk.model_copy(update={"title": "", "headings": []})
