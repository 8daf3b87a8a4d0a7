"""Keep an author's index in step with the warehouse: what changed since the last time, or as it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        self._present, self._stale = {}, set()
        counts: dict[str, int] = {}
        for state, count in self.index.read_states(self.collection).items():
            document = document_of(state)
            counts[document] = counts.get(document, 0) + 1
            if count == chunk_count(state):
                self._present[document] = state.split(":")[1]
            else:
                self._stale.add(document)
        self._stale |= {document for document, states in counts.items() if states > 1}

    def look(self) -> SyncReport:
        """Compare with the warehouse and write what differs; the alias points at the result afterwards."""
        self._read_present()
        states = {one: str(state["content"]) for one, state in self.warehouse.current_states(self.author).items()}
        changed = [one for one, content in states.items() if self._seen.get(one) != content]
        for one in set(self._seen) - set(states):
            self._table.remove(one)
            self._sources.pop(one, None)
        first = not self._seen
        clean = []
        for document in track(self._read(changed, first), "reading documents", len(changed)):
            cleaned, _ = clean_document(document, self.recipe, self.author_name)
            self._table.remove(document.document_id)
            self._sources.pop(document.document_id, None)
            if cleaned is not None:
                self._sources[document.document_id] = f"{cleaned.revision_id}-{cleaned.metadata['source']}"
                if first:
                    clean.append(cleaned)
                else:
                    self._table.put(cleaned)
        if first:
            self._table.fill(clean)
        self._seen = states
        return self._write({one.document_id: one for one in clean})

    def _read(self, ids: list[str], everything: bool) -> Iterable[Document]:
        if everything:
            return self.warehouse.current_documents(self.author)
        return self.warehouse.read_documents(ids)

    def _write(self, at_hand: dict[str, CleanDocument]) -> SyncReport:
        dropped = self._table.choose_dropped()
        wanted = {one: source for one, source in self._sources.items() if one not in dropped}
        done = SyncReport(documents=len(wanted))
        differing = [one for one, source in wanted.items() if self._present.get(one) != source or one in self._stale]
        done.written, done.chunks_written = write_documents(
            self._read_clean(differing, at_hand),
            self.index,
            self.collection,
            self.encoder,
            self.recipe,
            self._present.keys() | self._stale,
        )
        gone = (set(self._present) | self._stale) - set(wanted)
        if gone:
            self.index.delete_documents(self.collection, sorted(gone))
        done.deleted = len(gone)
        self._present = wanted
        self._stale = set()
        self.index.promote(self.author, self.collection)
        return done

    def _read_clean(self, ids: Sequence[str], at_hand: Mapping[str, CleanDocument]) -> Iterator[CleanDocument]:
        """Clean documents in the order of `ids`, those not at hand read from the warehouse some at a time."""
        for start in track(range(0, len(ids), BATCH_DOCUMENTS), "indexing batches of documents"):
            some = ids[start : start + BATCH_DOCUMENTS]
            read = self.warehouse.read_documents([one for one in some if one not in at_hand])
            cleaned = (clean_document(document, self.recipe, self.author_name)[0] for document in read)
            known = {one.document_id: one for one in cleaned if one is not None}
            yield from (document for one in some if (document := at_hand.get(one) or known.get(one)) is not None)

    def digest(self) -> str:
        """Names the index's content."""
        return self.index.digest(self.collection)


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
