"""Keep an author's index in step with the warehouse: what changed since the last time, or as it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llm_twin.documents import CleanDocument, Document
from llm_twin.embedding import Encoder
from llm_twin.features.cleaning import clean_document
from llm_twin.features.duplicates import DuplicateTable
from llm_twin.features.indexing import SyncReport, chunk_count, describe_layout, document_of
from llm_twin.features.streaming import write_documents
from llm_twin.progress import track
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import VectorIndex

if TYPE_CHECKING:
    from llm_twin.stores.warehouse import Warehouse

BATCH_DOCUMENTS = 16


class Synchroniser:
    """What a sync knows of one author between two looks at the warehouse; `look` brings the index up to date.

    The first look reads every document; later ones only those whose content digest changed.
    """

    def __init__(
        self, warehouse: Warehouse, index: VectorIndex, encoder: Encoder, recipe: FeaturesRecipe, author: str
    ) -> None:
        self.warehouse, self.index, self.encoder, self.recipe = warehouse, index, encoder, recipe
        self.author = author
        found = warehouse.get_author(author)
        self.author_name = found.name if found else ""
        self._seen: dict[str, str] = {}  # document → content digest in the warehouse
        self._sources: dict[str, str] = {}  # clean document → what it was made from, as a state has it
        self._table = DuplicateTable(recipe.near_duplicate_jaccard)
        self._layout = describe_layout(recipe, encoder.fingerprint, encoder.dimension)
        self.collection = ""
        self._present: dict[str, str] = {}  # document → source, of documents that the index holds whole
        self._stale: set[str] = set()  # documents of which the index holds a part

    def _read_present(self) -> None:
        """What the index holds, at the first look, and again when another process has put a new collection there."""
        collection = self.index.ensure_collection(self.author, self._layout)
        if collection == self.collection:
            return
        self.collection = collection
        self._present, self._stale = read_present(self.index, collection)

    def look(self) -> SyncReport:
        """Compare with the warehouse and write what differs; the alias points at the result afterwards."""
        self._read_present()
        states = {one: str(state["content"]) for one, state in self.warehouse.current_states(self.author).items()}
        changed = [one for one, content in states.items() if self._seen.get(one) != content]
        for one in set(self._seen) - set(states):
            self._table.remove(one)
            self._sources.pop(one, None)
        everything = not self._seen
        self._seen = states
        written: dict[str, str] = {}
        first = self._write(self._clean_differing(changed, everything, written))
        dropped = self._table.choose_dropped()
        wanted = {one: source for one, source in self._sources.items() if one not in dropped}
        held = self._present | written
        half = self._stale - written.keys()
        missing = [one for one, source in wanted.items() if held.get(one) != source or one in half]
        again = read_clean(self.warehouse, missing, self.recipe, self.author_name)
        second = self._write(again)  # what was left out for another that is now left out itself
        gone = (held.keys() | self._stale) - wanted.keys()
        if gone:
            self.index.delete_documents(self.collection, sorted(gone))
        in_vain = sum(one in written and one not in self._present for one in gone)
        self._present, self._stale = wanted, set()
        self.index.promote(self.author, self.collection)
        return SyncReport(
            documents=len(wanted),
            written=first[0] + second[0] - in_vain,
            chunks_written=first[1] + second[1],
            deleted=len(gone) - in_vain,
        )

    def _clean_differing(
        self, changed: Sequence[str], everything: bool, written: dict[str, str]
    ) -> Iterator[CleanDocument]:
        """Changed documents one by one, clean: those that the index does not hold so, and that no older one is like.

        A document that a later one turns out to be older than is written all the same, and deleted in the end: so
        none need be held back. `written` gets each one's source.
        """
        for document in track(self._read(changed, everything), "indexing documents", len(changed)):
            self._table.remove(document.document_id)
            self._sources.pop(document.document_id, None)
            clean, _ = clean_document(document, self.recipe, self.author_name)
            if clean is None:
                continue
            self._table.put(clean)
            source = self._sources[clean.document_id] = source_of(clean)
            held = clean.document_id not in self._stale and self._present.get(clean.document_id) == source
            if not held and not self._table.has_older(clean.document_id):
                written[clean.document_id] = source
                yield clean

    def _read(self, ids: Sequence[str], everything: bool) -> Iterable[Document]:
        """The warehouse's documents, some at a time."""
        if everything:
            return self.warehouse.current_documents(self.author)
        return read_some(self.warehouse, ids)

    def _write(self, documents: Iterator[CleanDocument]) -> tuple[int, int]:
        """How many documents and chunks were written."""
        return write_documents(
            documents, self.index, self.collection, self.encoder, self.recipe, self._present.keys() | self._stale
        )

    def digest(self) -> str:
        """Names the index's content."""
        return self.index.digest(self.collection)


def read_present(index: VectorIndex, collection: str) -> tuple[dict[str, str], set[str]]:
    """What a collection holds: document → source of those that are whole, and the documents that are there in part."""
    present: dict[str, str] = {}
    stale: set[str] = set()
    counts: dict[str, int] = {}
    for state, count in index.read_states(collection).items():
        document = document_of(state)
        counts[document] = counts.get(document, 0) + 1
        if count == chunk_count(state):
            present[document] = state.split(":")[1]
        else:
            stale.add(document)
    return present, stale | {document for document, states in counts.items() if states > 1}


def source_of(document: CleanDocument) -> str:
    """What a clean document was made from, as a state has it."""
    return f"{document.revision_id}-{document.metadata['source']}"


def read_some(warehouse: Warehouse, ids: Sequence[str]) -> Iterator[Document]:
    """The current documents with these ids, some at a time."""
    for start in range(0, len(ids), BATCH_DOCUMENTS):
        yield from warehouse.read_documents(ids[start : start + BATCH_DOCUMENTS])


def read_clean(
    warehouse: Warehouse, ids: Sequence[str], recipe: FeaturesRecipe, author_name: str
) -> Iterator[CleanDocument]:
    """As read_some, clean; without those that cleaning leaves out."""
    cleaned = (clean_document(document, recipe, author_name)[0] for document in read_some(warehouse, ids))
    return (clean for clean in cleaned if clean is not None)


def sync_author(
    warehouse: Warehouse, index: VectorIndex, encoder: Encoder, recipe: FeaturesRecipe, author: str
) -> SyncReport:
    """One look: what changed since the last sync, whoever did it. Raises QualityError for collapsed vectors."""
    synchroniser = Synchroniser(warehouse, index, encoder, recipe, author)
    done = synchroniser.look()
    done.digest = synchroniser.digest()
    return done


def follow_author(
    warehouse: Warehouse,
    index: VectorIndex,
    encoder: Encoder,
    recipe: FeaturesRecipe,
    author: str,
    on_sync: Callable[[SyncReport, float], None],
    stop: Callable[[], bool] = lambda: False,
    wait_seconds: float = 1.0,
) -> None:
    """Sync now and whenever the warehouse's change stream says that something changed, until `stop`.

    `on_sync` gets what was done and how many seconds it took.
    """
    synchroniser = Synchroniser(warehouse, index, encoder, recipe, author)
    with warehouse.watch() as wait_for_change:
        while True:
            begun = time.monotonic()
            done = synchroniser.look()
            on_sync(done, time.monotonic() - begun)
            while not wait_for_change(wait_seconds):
                if stop():
                    return
