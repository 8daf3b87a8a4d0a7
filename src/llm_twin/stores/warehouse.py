"""The warehouse: authors, their documents as they are now, and every revision that ever was, in MongoDB.

Raw bytes and revisions are only ever inserted. A document's current state is swapped in after its revision is
there, so a process killed between the two leaves nothing half written: the next run finds the revision and
swaps. Ids derive from content, so writing twice, or eight at once, changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from bson import Binary
from pymongo import MongoClient, UpdateOne
from pymongo.errors import ConfigurationError, ConnectionFailure, DuplicateKeyError, InvalidURI, PyMongoError

from llm_twin.digests import digest_bytes, digest_json
from llm_twin.documents import Author, Document, stable_id
from llm_twin.errors import InputError, StoreError
from llm_twin.stores.mongo_changes import ChangeFeed, watch
from llm_twin.stores.mongo_forgetting import forget
from llm_twin.stores.warehouse_schema import COLLECTION_OF, CURRENT_COLLECTIONS, ensure_schema

Outcome = Literal["inserted", "changed", "unchanged"]

RAW_PART_BYTES = 8_000_000  # MongoDB's documents end at 16 MiB
CONNECT_TIMEOUT_MS = 10_000
READ_BATCH = 200
_BOOKKEEPING = ("_id", "content", "source", "collected_at", "raw_digest")


class Warehouse:
    """A connection to one warehouse; a context manager."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str) -> None:
        self.client = client
        self.database = client[database]

    @classmethod
    def connect(cls, url: str, database: str = "llm_twin") -> Warehouse:
        """Connect and ask once. Raises InputError for a malformed URL, StoreError if nothing answers."""
        try:
            client: MongoClient[dict[str, Any]] = MongoClient(
                url, tz_aware=True, serverSelectionTimeoutMS=CONNECT_TIMEOUT_MS, appname="llm-twin"
            )
            client.admin.command("ping")
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise InputError(f"not a MongoDB URL: {error}", "set LLM_TWIN_MONGODB_URL=mongodb://…") from error
        except ConnectionFailure as error:
            reason = str(error).split(",")[0]
            raise StoreError(
                f"the warehouse does not answer: {reason}", "start MongoDB or mend LLM_TWIN_MONGODB_URL"
            ) from error
        return cls(client, database)

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def ensure_schema(self) -> None:
        """Create the collections and indexes that are missing."""
        ensure_schema(self.database)

    # authors

    def put_author(self, author: Author) -> None:
        """Write an author's record, if it is new or differs. Raises StoreError if the e-mail is another's."""
        fields = author.model_dump(exclude={"id"})
        users = self.database["users"]
        known = users.find_one({"_id": author.id})
        if known is not None and {name: known.get(name) for name in fields} == fields:
            return
        try:
            users.update_one({"_id": author.id}, {"$set": fields}, upsert=True)
        except DuplicateKeyError as error:
            now = users.find_one({"_id": author.id})
            if now is None or now.get("email") != author.email:
                raise StoreError(
                    f"the e-mail of {author.id!r} belongs to another author", "give each author an own e-mail"
                ) from error

    def get_author(self, author_id: str) -> Author | None:
        """The author's record, or None."""
        found = self.database["users"].find_one({"_id": author_id})
        return None if found is None else _author(found)

    def list_authors(self) -> list[Author]:
        """All authors by id."""
        return [_author(found) for found in self.database["users"].find().sort("_id", 1)]

    # documents and their revisions

    def write_revision(self, document: Document, raw: bytes, source: str = "") -> Outcome:
        """Keep one revision of a document with its raw bytes, and make it the current one.

        `source` names what it was collected from. A page whose bytes changed but whose record did not (a nonce, a
        visitor count) is unchanged: nothing is written. A forgotten document is refused with StoreError.
        """
        if self.is_forgotten(document.author, document.document_id):
            raise StoreError(f"{document.url} was forgotten", "`twin forget` is final; remove the marker by hand")
        content = content_digest(document)
        current = self.database[COLLECTION_OF[document.kind]]
        known = current.find_one({"_id": document.document_id}, {"content": 1, "source": 1})
        if known is not None and known["content"] == content:
            return "unchanged"
        raw_digest = self._put_raw(document.document_id, raw)
        record = _to_bson(document) | {"raw_digest": raw_digest, "content": content}
        now = _now()
        self.database["revisions"].update_one(
            {"_id": f"{document.document_id}:{document.revision_id}:{content}"},
            {"$setOnInsert": record | {"collected_at": now}},
            upsert=True,
        )
        try:
            result = current.replace_one(
                {"_id": document.document_id, "content": {"$ne": content}},
                record | {"_id": document.document_id, "source": source, "collected_at": now},
                upsert=True,
            )
        except DuplicateKeyError:  # the same content got in since we looked
            return "unchanged"
        self.database["tombstones"].delete_one({"_id": document.document_id})
        self._remove_from_other_kinds(document)
        return "inserted" if result.upserted_id is not None else "changed"

    def _remove_from_other_kinds(self, document: Document) -> None:
        for name in CURRENT_COLLECTIONS:
            if name != COLLECTION_OF[document.kind]:
                self.database[name].delete_one({"_id": document.document_id})

    def _put_raw(self, document_id: str, raw: bytes) -> str:
        """Store raw bytes, compressed, in parts of 8 MB; returns their digest."""
        raw_digest = digest_bytes(raw)
        packed = zlib.compress(raw, 6)
        parts = [packed[at : at + RAW_PART_BYTES] for at in range(0, len(packed), RAW_PART_BYTES)]
        for number, part in enumerate(parts):
            self.database["raws"].update_one(
                {"_id": f"{document_id}:{raw_digest}:{number:04}"},
                {"$setOnInsert": {"document_id": document_id, "size": len(raw), "part": Binary(part)}},
                upsert=True,
            )
        return raw_digest

    def read_raw(self, document_id: str, raw_digest: str) -> bytes:
        """The raw bytes of a revision. Raises StoreError if they are not there or damaged."""
        begins = f"{document_id}:{raw_digest}:"
        parts = self.database["raws"].find({"_id": {"$gte": begins, "$lt": begins + "~"}}).sort("_id", 1)
        packed = b"".join(bytes(part["part"]) for part in parts)
        raw = zlib.decompress(packed) if packed else b""
        if digest_bytes(raw) != raw_digest:
            raise StoreError(f"raw bytes {raw_digest} of document {document_id} are missing", "collect it again")
        return raw

    def current_documents(self, author: str, platform: str | None = None) -> Iterator[Document]:
        """The author's documents as they are now, sorted by document_id."""
        query: dict[str, Any] = {"author": author}
        if platform is not None:
            query["platform"] = platform
        ids = sorted(
            (found["_id"], name)
            for name in CURRENT_COLLECTIONS
            for found in self.database[name].find(query, {"_id": 1})
        )
        for at in range(0, len(ids), READ_BATCH):
            batch = ids[at : at + READ_BATCH]
            found: dict[str, dict[str, Any]] = {}
            for name in {name for _, name in batch}:
                wanted = [document_id for document_id, holder in batch if holder == name]
                found.update((r["_id"], r) for r in self.database[name].find({"_id": {"$in": wanted}}))
            for document_id, _ in batch:
                if document_id in found:
                    yield _from_bson(found[document_id])

    def read_documents(self, document_ids: Sequence[str]) -> list[Document]:
        """The current documents with these ids, in their order; ids that are not current are left out."""
        found: dict[str, Document] = {}
        for at in range(0, len(document_ids), READ_BATCH):
            query = {"_id": {"$in": list(document_ids[at : at + READ_BATCH])}}
            for name in CURRENT_COLLECTIONS:
                found.update((r["_id"], _from_bson(r)) for r in self.database[name].find(query))
        return [found[one] for one in document_ids if one in found]

    def read_revisions(self, revision_ids: Sequence[str]) -> Iterator[Document]:
        """All that was ever collected under these revision ids, also of documents that have changed or gone since."""
        for at in range(0, len(revision_ids), READ_BATCH):
            query = {"revision_id": {"$in": list(revision_ids[at : at + READ_BATCH])}}
            for record in self.database["revisions"].find(query):
                yield _from_bson(record)

    def current_states(self, author: str, source: str | None = None) -> dict[str, dict[str, Any]]:
        """document_id → {url, revision_id, content, source} of the author's current documents."""
        query = {"author": author} if source is None else {"author": author, "source": source}
        fields = {"url": 1, "revision_id": 1, "content": 1, "source": 1}
        return {
            found["_id"]: {name: found.get(name) for name in fields}
            for name in CURRENT_COLLECTIONS
            for found in self.database[name].find(query, fields)
        }

    def search_text(self, words: str, author: str | None = None, limit: int = 20) -> list[Document]:
        """Documents that hold any of `words`, by the full-text index."""
        query: dict[str, Any] = {"$text": {"$search": words}}
        if author is not None:
            query["author"] = author
        found = [r for name in CURRENT_COLLECTIONS for r in self.database[name].find(query).limit(limit)]
        return [_from_bson(record) for record in found[:limit]]

    def bury(self, author: str, document_id: str, reason: str) -> bool:
        """Take a vanished document out of the current ones and leave a tombstone; its revisions stay."""
        for name in CURRENT_COLLECTIONS:
            found = self.database[name].find_one({"_id": document_id, "author": author})
            if found is None:
                continue
            stone = {
                **{key: found[key] for key in ("author", "url", "revision_id", "platform", "kind")},
                "source": found.get("source", ""),
                "reason": reason,
                "at": _now(),
            }
            self.database["tombstones"].update_one({"_id": document_id}, {"$setOnInsert": stone}, upsert=True)
            self.database[name].delete_one({"_id": document_id})
            return True
        return False

    def list_tombstones(self, author: str) -> list[dict[str, Any]]:
        """Tombstones of vanished documents, by url."""
        return list(self.database["tombstones"].find({"author": author}).sort("url", 1))

    # snapshots

    def take_snapshot(self, author: str | Sequence[str]) -> str:
        """Name the current revisions of one author or several, and return the name: a digest of what it holds."""
        authors = sorted({author} if isinstance(author, str) else set(author))
        entries = []
        for name in CURRENT_COLLECTIONS:
            fields = {"revision_id": 1, "content": 1}
            for found in self.database[name].find({"author": {"$in": authors}}, fields):
                entries.append([found["_id"], found["revision_id"], found["content"]])
        entries.sort()
        digest = digest_json({"authors": authors, "revisions": entries})
        self.database["snapshots"].update_one(
            {"_id": digest},
            {"$setOnInsert": {"authors": authors, "revisions": entries, "at": _now()}},
            upsert=True,
        )
        return digest

    def read_snapshot(self, digest: str) -> Iterator[Document]:
        """The documents of a snapshot by document_id, without those forgotten since.

        Raises InputError for an unknown snapshot, StoreError if a revision is gone that nobody forgot.
        """
        snapshot = self.database["snapshots"].find_one({"_id": digest})
        if snapshot is None:
            raise InputError(f"no snapshot {digest} in the warehouse", "collect first, or check the address")
        keys = [":".join(entry) for entry in snapshot["revisions"]]
        for at in range(0, len(keys), READ_BATCH):
            batch = keys[at : at + READ_BATCH]
            found = {r["_id"]: r for r in self.database["revisions"].find({"_id": {"$in": batch}})}
            for key in batch:
                if key in found:
                    yield _from_bson(found[key])
                elif not self.database["forgotten"].find_one({"_id": key.split(":")[0]}):
                    raise StoreError(f"revision {key} of snapshot {digest} is missing", "restore the warehouse")

    # what a crawler remembers of a URL

    def get_http_states(self, author: str, source: str) -> dict[str, dict[str, Any]]:
        """url → {etag, last_modified, document_id, …} of a source's pages."""
        found = self.database["http_states"].find({"author": author, "source": source})
        return {state["url"]: state for state in found}

    def put_http_states(self, author: str, source: str, states: Iterable[dict[str, Any]]) -> None:
        """Remember what servers said of URLs; each state has `url`."""
        operations = [
            UpdateOne(
                {"_id": stable_id(author, source, state["url"])},
                {"$set": {**{k: v for k, v in state.items() if k != "_id"}, "author": author, "source": source}},
                upsert=True,
            )
            for state in states
        ]
        if operations:
            self.database["http_states"].bulk_write(operations, ordered=False)

    # what was refused

    def quarantine(self, author: str, source: str, url: str, reason: str, detail: str) -> None:
        """Note an item that was refused, once for each author, URL and reason."""
        self.database["quarantine"].update_one(
            {"_id": stable_id(author, url, reason)},
            {
                "$set": {
                    "author": author,
                    "source": source,
                    "url": url,
                    "reason": reason,
                    "detail": detail,
                    "at": _now(),
                }
            },
            upsert=True,
        )

    def release(self, author: str, urls: Sequence[str]) -> None:
        """Drop quarantine notes of URLs that are good now."""
        if urls:
            self.database["quarantine"].delete_many({"author": author, "url": {"$in": list(urls)}})

    def list_quarantine(self, author: str | None = None) -> list[dict[str, Any]]:
        """Refused items, newest first."""
        query = {} if author is None else {"author": author}
        return list(self.database["quarantine"].find(query).sort("at", -1))

    # what changed, and what must go

    def watch(self) -> AbstractContextManager[Callable[[float], bool]]:
        """A context whose value waits up to so many seconds and says whether a document changed meanwhile."""
        return watch(self.database)

    def changes(self, reader: str, author: str | None = None) -> ChangeFeed:
        """Inserts, updates and deletes for a named reader, from where it committed last."""
        return ChangeFeed(self.database, reader, author)

    def forget(self, what: str, canonical_url: str = "") -> dict[str, Any]:
        """Remove an author or a URL for good; returns the signed record. Raises InputError if nothing is there."""
        return forget(self.database, what, canonical_url)

    def forgotten_documents(self, author: str | None = None) -> set[str]:
        """Ids of documents that every later stage must drop what it derived from."""
        query: dict[str, Any] = {"kind": "document"} if author is None else {"kind": "document", "author": author}
        return {found["_id"] for found in self.database["forgotten"].find(query, {"_id": 1})}

    def forgotten_authors(self, document_ids: Sequence[str]) -> dict[str, list[str]]:
        """author → those of these documents that were the author's and are forgotten."""
        found: dict[str, list[str]] = {}
        query = {"_id": {"$in": list(document_ids)}, "kind": "document"}
        for marker in self.database["forgotten"].find(query, {"author": 1}).sort("_id", 1):
            found.setdefault(marker["author"], []).append(marker["_id"])
        return found

    def is_forgotten(self, author: str, document_id: str) -> bool:
        """Whether a marker says that this document, or the whole author, must not come back."""
        markers = [document_id, stable_id("author", author)]
        return self.database["forgotten"].find_one({"_id": {"$in": markers}}, {"_id": 1}) is not None


def content_digest(document: Document) -> str:
    """Digest of what a reader of the record sees: all of it but the revision."""
    return digest_json(document.model_dump(mode="json", exclude={"revision_id"}))


def _author(found: dict[str, Any]) -> Author:
    return Author(id=found["_id"], name=found["name"], email=found.get("email"), links=found.get("links", []))


def _to_bson(document: Document) -> dict[str, Any]:
    return document.model_dump()


def _from_bson(found: dict[str, Any]) -> Document:
    """A typed record; datetimes come back as plain UTC ones."""
    fields = {key: value for key, value in found.items() if key not in _BOOKKEEPING}
    for name in ("published", "updated"):
        if isinstance(fields.get(name), datetime):
            fields[name] = fields[name].astimezone(UTC)
    return Document.model_validate(fields)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def explain(error: PyMongoError) -> str:
    """One line for a driver's error."""
    return " ".join(str(error).split())[:300]
