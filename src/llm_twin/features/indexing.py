"""Bring the vector index to what the chunks say: only documents that differ are written, what is gone is deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from llm_twin.digests import digest_json
from llm_twin.documents import Chunk
from llm_twin.errors import InputError
from llm_twin.features.chunking import FORMAT
from llm_twin.features.vectors import VectorFiles
from llm_twin.progress import report, track
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import Entry, Layout, VectorIndex, describe_state

BATCH_CHUNKS = 256
HOST_ONLY = {"batch_size", "precision"}  # how vectors are computed, not what they are


@dataclass
class SyncReport:
    """What a sync did, in documents and chunks."""

    documents: int = 0
    written: int = 0
    deleted: int = 0
    chunks: int = 0
    chunks_written: int = 0
    digest: str = ""


def describe_layout(recipe: FeaturesRecipe, fingerprint: str, dimension: int) -> Layout:
    """The layout of a collection that this recipe and encoder make."""
    settings = digest_json([FORMAT, recipe.model_dump(mode="json", exclude=HOST_ONLY)])[:16]
    return Layout(fingerprint, dimension, settings)


def index_chunks(
    author: str, chunks: Iterable[Chunk], vectors: VectorFiles, index: VectorIndex, recipe: FeaturesRecipe
) -> SyncReport:
    """Make an author's index hold exactly these chunks, which come document by document, with their vectors.

    A changed chunker or model fills another collection, which readers see once it is whole. Killed at any point,
    the next run goes on from what is there.
    """
    layout = describe_layout(recipe, vectors.fingerprint, vectors.dimension)
    collection = index.ensure_collection(author, layout)
    present = index.read_states(collection)
    there = {document_of(state) for state in present}
    whole = {state for state, count in present.items() if count == chunk_count(state)}
    done = SyncReport()
    wanted: set[str] = set()
    row = 0
    batch: list[tuple[str, list[Entry]]] = []
    for document_id, group in track(groupby(chunks, key=lambda chunk: chunk.document_id), "indexing documents"):
        own = list(group)
        if document_id in wanted:
            raise InputError(f"chunks of document {document_id} are not together", "sort them by document")
        wanted.add(document_id)
        if row + len(own) > len(vectors):
            raise InputError(f"there are more chunks than the {len(vectors)} vectors", "embed these chunks")
        state = describe_state(document_id, own)
        done.documents += 1
        done.chunks += len(own)
        if state not in whole:
            entries = [Entry(chunk, vectors.dense[at], vectors.sparse(at)) for at, chunk in enumerate(own, row)]
            batch.append((state, entries))
            done.written += 1
            done.chunks_written += len(own)
            if sum(len(one[1]) for one in batch) >= BATCH_CHUNKS:
                index.write_documents(collection, batch, there)
                batch = []
        row += len(own)
    if row != len(vectors):
        raise InputError(f"there are {len(vectors)} vectors for {row} chunks", "embed these chunks")
    if batch:
        index.write_documents(collection, batch, there)
    gone = there - wanted
    index.delete_documents(collection, sorted(gone))
    done.deleted = len(gone)
    index.promote(author, collection)
    done.digest = index.digest(collection)
    report(
        f"index: {done.documents} documents, {done.chunks} chunks; {done.written} documents written, "
        f"{done.deleted} deleted"
    )
    return done


def index_folder(
    author: str, chunks: Iterable[Chunk], folder: Path, index: VectorIndex, recipe: FeaturesRecipe
) -> SyncReport:
    """As index_chunks, with the vectors in a folder."""
    return index_chunks(author, chunks, VectorFiles(folder), index, recipe)


def chunk_count(state: str) -> int:
    """How many points a whole document of that state has."""
    return int(state.split(":")[-2])


def document_of(state: str) -> str:
    """The document id of a state."""
    return state.split(":", 1)[0]
