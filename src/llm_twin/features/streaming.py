"""Documents into an index in one stream: cut, embedded and written at the same time, with little held at once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import groupby

from llm_twin.documents import CleanDocument
from llm_twin.embedding import Encoder
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.vectors import embed_chunks
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import Entry, VectorIndex, describe_state

BATCH_CHUNKS = 128  # written at once; whole documents always


def write_documents(
    documents: Iterable[CleanDocument],
    index: VectorIndex,
    collection: str,
    encoder: Encoder,
    recipe: FeaturesRecipe,
    present: Container[str],
) -> tuple[int, int]:
    """Chunk, embed and write documents, each in the place of what the collection holds of it.

    `present` are the ids of documents that may be there already. Returns how many documents and chunks were written.
    What cuts, what waits for the encoder and this thread, which writes, pass windows on.
    """
    written = chunks = 0
    batch: list[tuple[str, list[Entry]]] = []
    for entries in _embed_whole(documents, encoder, recipe):
        state = describe_state(entries[0].chunk.document_id, [entry.chunk for entry in entries])
        batch.append((state, entries))
        written += 1
        chunks += len(entries)
        if sum(len(own) for _, own in batch) >= BATCH_CHUNKS:
            index.write_documents(collection, batch, present)
            batch = []
    if batch:
        index.write_documents(collection, batch, present)
    return written, chunks


def _embed_whole(documents: Iterable[CleanDocument], encoder: Encoder, recipe: FeaturesRecipe) -> Iterator[list[Entry]]:
    """All entries of one document after the other."""
    windows = embed_chunks(chunk_documents(documents, recipe, encoder), encoder, recipe)
    entries = (Entry(*row) for window in windows for row in zip(*window, strict=True))
    for _, own in groupby(entries, key=lambda entry: entry.chunk.document_id):
        yield list(own)
