"""Forgetting: everything the warehouse holds of a document or an author goes, and a marker keeps it from coming back.

The marker is written first: a process that is killed half-way leaves a document that no step may use any more, and
the next call removes the rest. The record that remains holds ids and hashes, never a word of the text.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from llm_twin.digests import digest_json
from llm_twin.documents import stable_id
from llm_twin.errors import InputError
from llm_twin.stores.warehouse_schema import CURRENT_COLLECTIONS


def forget(database: Database[dict[str, Any]], what: str, canonical_url: str = "") -> dict[str, Any]:
    """Forget an author (by id) or a URL; returns the signed record. Raises InputError if there is nothing of it."""
    author = database["users"].find_one({"_id": what})
    marker = database["forgotten"].find_one({"_id": stable_id("author", what)})
    if author is not None or marker is not None:
        return _forget_author(database, what)
    ids = _documents_at(database, {what, canonical_url} - {""})  # also of a call that was killed half-way
    if not ids:
        raise InputError(f"nothing of {what!r} in the warehouse", "give an author's id or a collected URL")
    return _forget_documents(database, what, ids, kind="url")


def _documents_at(database: Database[dict[str, Any]], urls: set[str]) -> dict[str, str]:
    """document_id → author of whatever was ever collected from these addresses."""
    query = {"url": {"$in": sorted(urls)}}
    found: dict[str, str] = {}
    for name in (*CURRENT_COLLECTIONS, "tombstones"):
        found.update({d["_id"]: d["author"] for d in database[name].find(query, {"author": 1})})
    for revision in database["revisions"].find(query, {"document_id": 1, "author": 1}):
        found[revision["document_id"]] = revision["author"]
    for state in database["http_states"].find(query, {"document_id": 1, "author": 1}):
        if state.get("document_id"):
            found[state["document_id"]] = state["author"]
    authors = {m["author"] for m in database["forgotten"].find({}, {"author": 1})}
    named = {stable_id(author, url): author for author in authors for url in urls}
    marked = database["forgotten"].find({"_id": {"$in": sorted(named)}}, {"_id": 1})
    found.update((marker["_id"], named[marker["_id"]]) for marker in marked)
    return found


def _forget_author(database: Database[dict[str, Any]], author: str) -> dict[str, Any]:
    query = {"author": author}
    ids: dict[str, str] = {}
    for name in (*CURRENT_COLLECTIONS, "tombstones"):
        ids.update(dict.fromkeys((d["_id"] for d in database[name].find(query, {"_id": 1})), author))
    markers = database["forgotten"].find(query | {"kind": "document"}, {"_id": 1})
    ids.update(dict.fromkeys((m["_id"] for m in markers), author))
    ids.update(dict.fromkeys((r["document_id"] for r in database["revisions"].find(query, {"document_id": 1})), author))
    mark = stable_id("author", author)
    database["forgotten"].update_one(
        {"_id": mark}, {"$setOnInsert": {"author": author, "kind": "author", "at": _now()}}, upsert=True
    )
    record = _forget_documents(database, author, ids, kind="author")
    for name in ("http_states", "quarantine"):
        database[name].delete_many(query)
    database["users"].delete_one({"_id": author})
    return record


def _forget_documents(database: Database[dict[str, Any]], what: str, ids: dict[str, str], kind: str) -> dict[str, Any]:
    removed: dict[str, int] = {}
    hashes: list[dict[str, str]] = []
    urls: set[str] = set()
    for one, author in sorted(ids.items()):
        for name in (*CURRENT_COLLECTIONS, "tombstones"):
            urls.update(d["url"] for d in database[name].find({"_id": one}, {"url": 1}))
        database["forgotten"].update_one(
            {"_id": one},
            {"$setOnInsert": {"author": author, "kind": "document", "at": _now()}},
            upsert=True,
        )
        for revision in database["revisions"].find({"document_id": one}):
            hashes.append({"document": one, "revision": revision["revision_id"], "raw": revision["raw_digest"]})
            urls.add(revision["url"])
    wanted = sorted(ids)
    for name in CURRENT_COLLECTIONS:
        _count(removed, name, database[name].delete_many({"_id": {"$in": wanted}}).deleted_count)
    for name in ("revisions", "raws"):
        _count(removed, name, database[name].delete_many({"document_id": {"$in": wanted}}).deleted_count)
    _count(removed, "tombstones", database["tombstones"].delete_many({"_id": {"$in": wanted}}).deleted_count)
    for name in ("http_states", "quarantine"):
        found = database[name].delete_many({"url": {"$in": sorted(urls)}}).deleted_count
        if name == "http_states":
            found += database[name].delete_many({"document_id": {"$in": wanted}}).deleted_count
        _count(removed, name, found)
    snapshots = [s["_id"] for s in database["snapshots"].find({}) if any(r[0] in ids for r in s["revisions"])]
    record = {
        "subject": stable_id("forgotten", what),
        "kind": kind,
        "documents": wanted,
        "hashes": hashes,
        "removed": removed,
        "snapshots": sorted(snapshots),  # what was derived from these must be built anew
        "by": getpass.getuser(),
        "at": _now(),
    }
    return _sign(database, record)


def _count(removed: dict[str, int], name: str, number: int) -> None:
    if number:
        removed[name] = removed.get(name, 0) + number


def _sign(database: Database[dict[str, Any]], record: dict[str, Any]) -> dict[str, Any]:
    """Sign a record (HMAC-SHA-256) with the warehouse's own key, and keep it: a later edit shows."""
    record = {**record, "at": record["at"].isoformat()}
    record["signature"] = _signature(database, record)
    record_id = digest_json(record)
    database["forget_records"].update_one({"_id": record_id}, {"$setOnInsert": record}, upsert=True)
    return {"_id": record_id, **record}


def _signature(database: Database[dict[str, Any]], record: dict[str, Any]) -> str:
    database["schema"].update_one({"_id": "signing-key"}, {"$setOnInsert": {"key": secrets.token_hex(32)}}, upsert=True)
    found = database["schema"].find_one({"_id": "signing-key"})
    key = bytes.fromhex(found["key"]) if found else b""
    body = {name: value for name, value in record.items() if name not in ("_id", "signature")}
    return hmac.new(key, digest_json(body).encode(), hashlib.sha256).hexdigest()


def is_genuine(database: Database[dict[str, Any]], record: dict[str, Any]) -> bool:
    """Whether a record is as it was signed."""
    return hmac.compare_digest(str(record.get("signature", "")), _signature(database, record))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
