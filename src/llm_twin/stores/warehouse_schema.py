"""The warehouse's collections and the indexes that its queries use.

Collections are created before anything is written: a transaction that creates one fails on some servers, and an
index that comes first also refuses the first duplicate.
"""

from __future__ import annotations

import time
from typing import Any

from pymongo import ASCENDING, DESCENDING, TEXT, IndexModel
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from llm_twin.digests import digest_json
from llm_twin.documents import Kind

# Where the current state of each kind of document lies. Revisions, raw bytes and bookkeeping lie beside them.
COLLECTION_OF: dict[Kind, str] = {"article": "articles", "post": "posts", "repository": "repositories"}
CURRENT_COLLECTIONS = tuple(COLLECTION_OF.values())
WATCHED_COLLECTIONS = ("users", *CURRENT_COLLECTIONS)

NAMESPACE_EXISTS = 48
SCHEMA_ATTEMPTS = 10

_CURRENT_INDEXES = [
    IndexModel([("author", ASCENDING), ("url", ASCENDING)], unique=True),
    IndexModel([("author", ASCENDING), ("source", ASCENDING)]),
    IndexModel([("platform", ASCENDING), ("published", DESCENDING)]),
    IndexModel([("published", DESCENDING)]),
    IndexModel([("title", TEXT), ("text", TEXT)], default_language="none"),
]

INDEXES: dict[str, list[IndexModel]] = {
    "users": [
        IndexModel(
            [("email", ASCENDING)],
            unique=True,
            partialFilterExpression={"email": {"$type": "string"}},
        )
    ],
    **dict.fromkeys(CURRENT_COLLECTIONS, _CURRENT_INDEXES),
    "revisions": [IndexModel([("document_id", ASCENDING)])],
    "raws": [IndexModel([("document_id", ASCENDING)])],
    "snapshots": [IndexModel([("authors", ASCENDING)])],
    "http_states": [IndexModel([("author", ASCENDING), ("source", ASCENDING)])],
    "tombstones": [IndexModel([("author", ASCENDING), ("source", ASCENDING)])],
    "quarantine": [IndexModel([("author", ASCENDING), ("at", DESCENDING)])],
    "forgotten": [IndexModel([("author", ASCENDING)])],
    "forget_records": [IndexModel([("at", DESCENDING)])],
    "cursors": [],
    "cursor_parts": [IndexModel([("cursor", ASCENDING), ("version", ASCENDING)])],
}


def ensure_schema(database: Database[dict[str, Any]]) -> None:
    """Create what is missing; safe to call from many processes at once, and again.

    A marker says which indexes are there: some servers neither list a full-text index nor let it be made twice.
    """
    described = {name: [index.document for index in indexes] for name, indexes in INDEXES.items()}
    digest = digest_json(described)
    for attempt in range(SCHEMA_ATTEMPTS):
        marker = database["schema"].find_one({"_id": "indexes"})
        if marker is not None and marker["digest"] == digest:
            return
        try:
            _create(database)
        except OperationFailure:  # another process makes the same ones at this moment, or some are left over
            if attempt == SCHEMA_ATTEMPTS - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
            continue
        database["schema"].update_one({"_id": "indexes"}, {"$set": {"digest": digest}}, upsert=True)


def _create(database: Database[dict[str, Any]]) -> None:
    existing = set(database.list_collection_names())
    for name in ("schema", *INDEXES):
        if name not in existing:
            try:
                database.create_collection(name)
            except CollectionInvalid:
                pass  # another process was first
            except OperationFailure as error:
                if error.code != NAMESPACE_EXISTS and name not in database.list_collection_names():
                    raise
    for name, indexes in INDEXES.items():
        plain = [index for index in indexes if not is_text(index)]
        if plain:
            database[name].create_indexes(plain)
        for index in indexes:
            if is_text(index):
                _create_text_index(database, name, index)


def _create_text_index(database: Database[dict[str, Any]], name: str, index: IndexModel) -> None:
    try:
        database[name].create_indexes([index])
    except OperationFailure as error:
        # nx-27017 cannot make an index again that is there; MongoDB says nothing of it, and has codes for the rest.
        if error.code is not None or "constraint failed" not in str(error):
            raise


def is_text(index: IndexModel) -> bool:
    """Whether an index is a full-text one."""
    return any(kind == TEXT for kind in index.document["key"].values())
