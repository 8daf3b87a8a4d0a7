"""One author's documents synced by several processes: planned once, written shard by shard, shown when all are there.

Which of several documents that say the same stays can only be told from all of them: so the plan cleans everything and
says which documents are wanted. A document belongs to one shard, by its id, which writes it or deletes it. Readers see
a new collection once the last shard has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_twin.documents import CleanDocument
from llm_twin.embedding import Encoder
from llm_twin.errors import InputError, StoreError
from llm_twin.features.cleaning import clean_documents
from llm_twin.features.indexing import SyncReport, describe_layout
from llm_twin.features.streaming import write_documents
from llm_twin.features.sync import read_clean, read_present, source_of
from llm_twin.progress import track
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import VectorIndex

if TYPE_CHECKING:
    from llm_twin.stores.warehouse import Warehouse


def shard_of(document_id: str, shards: int) -> int:
    """Which of `shards` a document belongs to: its id is hexadecimal and a hash already."""
    return int(document_id[:12], 16) % shards


def plan_sync(
    warehouse: Warehouse, index: VectorIndex, encoder: Encoder, recipe: FeaturesRecipe, author: str, shards: int
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Which documents the author's index is to hold (id → source), and what each shard is called with.

    There are no more shards than documents that differ, and always one.
    """
    if shards < 1:
        raise InputError(f"{shards} shards", "give at least one")
    collection = index.ensure_collection(author, describe_layout(recipe, encoder.fingerprint, encoder.dimension))
    documents = track(warehouse.current_documents(author), "cleaning documents")
    name = _name(warehouse, author)
    wanted = {clean.document_id: source_of(clean) for clean in clean_documents(documents, recipe, lambda _: name)}
    present, stale = read_present(index, collection)
    differ = len(_missing(wanted, present, stale)) + len((present.keys() | stale) - wanted.keys())
    shards = min(shards, max(differ, 1))
    part = {"author": author, "collection": collection, "shards": shards}
    return wanted, [part | {"shard": at} for at in range(shards)]


def sync_shard(
    warehouse: Warehouse,
    index: VectorIndex,
    encoder: Encoder,
    recipe: FeaturesRecipe,
    wanted: Mapping[str, str],
    part: Mapping[str, Any],
) -> SyncReport:
    """Write what differs of one shard's documents and delete what is not wanted; `part` is one that plan_sync made.

    A document is written as the warehouse has it now; one that has gone since the plan was made is deleted. Killed at
    any point, the same call goes on from there.
    """
    collection, shard, shards = part["collection"], int(part["shard"]), int(part["shards"])
    own = {one: source for one, source in wanted.items() if shard_of(one, shards) == shard}
    present, stale = read_present(index, collection)
    there = {one for one in present.keys() | stale if shard_of(one, shards) == shard}
    missing = _missing(own, present, stale)
    found: set[str] = set()

    def read() -> Iterator[CleanDocument]:
        clean = read_clean(warehouse, missing, recipe, _name(warehouse, part["author"]))
        for document in track(clean, "indexing documents", len(missing)):
            found.add(document.document_id)
            yield document

    written, chunks = write_documents(read(), index, collection, encoder, recipe, there)
    lost = set(missing) - found
    gone = (there - own.keys()) | (there & lost)
    index.delete_documents(collection, sorted(gone))
    return SyncReport(documents=len(own) - len(lost), written=written, chunks_written=chunks, deleted=len(gone))


def finish_sync(
    warehouse: Warehouse, index: VectorIndex, parts: Sequence[Mapping[str, Any]], done: Sequence[SyncReport]
) -> SyncReport:
    """Point the author's alias at what the shards wrote; the sum of what they did, with the index's digest.

    Raises StoreError where a shard is missing or documents that the shards answer for are not whole: then readers keep
    what they had. What the warehouse has lost in the meantime goes, with its bytes where it was forgotten.
    """
    author, collection = parts[0]["author"], parts[0]["collection"]
    present, stale = read_present(index, collection)
    total = SyncReport(  # a pipeline hands numbers on as floats
        documents=int(sum(one.documents for one in done)),
        written=int(sum(one.written for one in done)),
        deleted=int(sum(one.deleted for one in done)),
        chunks_written=int(sum(one.chunks_written for one in done)),
    )
    if len(done) < len(parts) or stale or len(present) < total.documents:
        raise StoreError(
            f"{len(done)} of {len(parts)} shards of {author} are done: {len(present)} of {total.documents} documents "
            f"are in the index, {len(stale)} of them in part",
            "run it again; another sync, or a forget, may have run at the same time",
        )
    gone = present.keys() - warehouse.current_states(author).keys()
    index.delete_documents(collection, sorted(gone))
    index.promote(author, collection)
    if forgotten := gone & warehouse.forgotten_documents(author):
        collection = index.rebuild_without(author, forgotten) or collection
    total.documents -= len(gone)
    total.deleted += len(gone)
    total.digest = index.digest(collection)
    return total


def _missing(wanted: Mapping[str, str], present: Mapping[str, str], stale: set[str]) -> list[str]:
    return sorted(one for one, source in wanted.items() if present.get(one) != source or one in stale)


def _name(warehouse: Warehouse, author: str) -> str:
    found = warehouse.get_author(author)
    return found.name if found else ""
