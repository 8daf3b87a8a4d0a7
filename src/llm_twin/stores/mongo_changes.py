"""What changed in the warehouse since a reader last said so: one stream of inserts, updates and deletes.

On a replica set it is MongoDB's change stream, and the position is its resume token. Elsewhere (a standalone
server; nx-27017, which logs changes only while somebody watches) the position is the content digest of every
document that the reader has seen, and the stream is the difference to now: exact, whatever happened in between.
Positions are durable, and move only when the reader commits: after a crash, changes come again rather than never.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pymongo.change_stream import ChangeStream
from pymongo.database import Database
from pymongo.errors import OperationFailure

from llm_twin.documents import stable_id
from llm_twin.stores.warehouse_schema import CURRENT_COLLECTIONS

ChangeKind = Literal["insert", "update", "delete", "reset"]

POLL_SECONDS = 0.5
AWAIT_MS = 250
# ChangeStreamFatalError, ChangeStreamHistoryLost, InvalidResumeToken: the position is no longer in the server's log.
LOST_POSITION = {260, 280, 286}
NO_CHANGE_STREAMS = {40573, 40324, 59, 115}
_KINDS: dict[str, ChangeKind] = {"insert": "insert", "update": "update", "replace": "update", "delete": "delete"}


@dataclass(frozen=True)
class Change:
    """One document's change; `reset` (without a document) means: compare everything, the log does not reach back."""

    kind: ChangeKind
    document_id: str = ""
    author: str = ""
    content: str = ""  # the new content digest; empty for a delete


class ChangeFeed:
    """The changes for one named reader."""

    def __init__(self, database: Database[dict[str, Any]], reader: str, author: str | None = None) -> None:
        self.database = database
        self.author = author
        self.key = stable_id("reader", reader, author or "")
        self.by_log = _has_log(database)
        self._position: dict[str, Any] = self._load()
        self._next: dict[str, Any] | None = None

    def read(self, wait_seconds: float = 0.0) -> list[Change]:
        """Changes since the last commit, waiting up to `wait_seconds` for the first of them."""
        deadline = time.monotonic() + wait_seconds
        while True:
            changes = self._read_log() if self.by_log else self._compare()
            if changes or time.monotonic() >= deadline:
                return changes
            time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    def commit(self) -> None:
        """The reader has dealt with what it read last: never show it again."""
        if self._next is None:
            return
        self._save(self._next)
        self._position, self._next = self._next, None

    def _compare(self) -> list[Change]:
        """The difference between what the reader knows and what there is."""
        known: dict[str, list[str]] = self._position.get("states", {})
        query = {} if self.author is None else {"author": self.author}
        now: dict[str, list[str]] = {}
        for name in CURRENT_COLLECTIONS:
            for found in self.database[name].find(query, {"author": 1, "content": 1}):
                now[found["_id"]] = [found["author"], found["content"]]
        changes = [
            Change("update" if one in known else "insert", one, author, content)
            for one, (author, content) in sorted(now.items())
            if known.get(one, ["", ""])[1] != content
        ]
        changes += [Change("delete", one, known[one][0]) for one in sorted(set(known) - set(now))]
        self._next = {"states": now} if changes else None
        return changes

    def _read_log(self) -> list[Change]:
        pipeline = [{"$match": {"ns.coll": {"$in": list(CURRENT_COLLECTIONS)}, "operationType": {"$in": list(_KINDS)}}}]
        options: dict[str, Any] = {"full_document": "updateLookup", "max_await_time_ms": AWAIT_MS}
        token = self._position.get("token")
        if token is not None:
            options["resume_after"] = token
        changes: list[Change] = []
        try:
            with self.database.watch(pipeline, **options) as stream:
                if token is None:  # a new reader starts from everything there is, then follows the log
                    changes = self._compare()
                    self._next = {"token": stream.resume_token}
                    return changes
                while (event := stream.try_next()) is not None:
                    change = _to_change(event)
                    if self.author is None or change.author in ("", self.author):
                        changes.append(change)
                self._next = {"token": stream.resume_token}
        except OperationFailure as error:
            if error.code not in LOST_POSITION:
                raise
            self._position = {}
            return [Change("reset")]
        return changes

    def _load(self) -> dict[str, Any]:
        found = self.database["cursors"].find_one({"_id": self.key})
        if found is None:
            return {}
        if "token" in found:
            return {"token": found["token"]} if self.by_log else {}
        states: dict[str, list[str]] = {}
        for part in self.database["cursor_parts"].find({"cursor": self.key, "version": found["version"]}):
            states.update({one: [author, content] for one, author, content in part["states"]})
        return {"states": states}

    def _save(self, position: dict[str, Any]) -> None:
        """Write beside, then swap: parts of a new version first, the version last, old parts at the end."""
        cursors, parts = self.database["cursors"], self.database["cursor_parts"]
        if "token" in position:
            cursors.replace_one({"_id": self.key}, {"_id": self.key, "token": position["token"]}, upsert=True)
            return
        version = f"{time.time_ns()}"
        rows = [[one, author, content] for one, (author, content) in position["states"].items()]
        for at in range(0, len(rows), 20_000):
            parts.insert_one({"cursor": self.key, "version": version, "states": rows[at : at + 20_000]})
        cursors.replace_one({"_id": self.key}, {"_id": self.key, "version": version}, upsert=True)
        parts.delete_many({"cursor": self.key, "version": {"$ne": version}})


def _has_log(database: Database[dict[str, Any]]) -> bool:
    """Whether the server keeps a log of changes that outlives its readers: replica sets and sharded clusters do."""
    hello = database.client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def _to_change(event: dict[str, Any]) -> Change:
    kind = _KINDS[event["operationType"]]
    # nx-27017 sends deletes with a fullDocument; MongoDB does not: nobody looks at it.
    document = (event.get("fullDocument") or {}) if kind != "delete" else {}
    return Change(kind, str(event["documentKey"]["_id"]), document.get("author", ""), document.get("content", ""))


@contextmanager
def watch(database: Database[dict[str, Any]]) -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits up to so many seconds and says whether something changed meanwhile.

    Collections are watched one by one: nx-27017 does not watch whole databases. A server without change streams
    is asked for its newest document instead.
    """
    with ExitStack() as stack:
        try:
            streams = [
                stack.enter_context(database[name].watch(max_await_time_ms=AWAIT_MS)) for name in CURRENT_COLLECTIONS
            ]
        except OperationFailure as error:
            if error.code is not None and error.code not in NO_CHANGE_STREAMS:
                raise
            yield _waiter_by_polling(database)
            return
        yield _waiter_by_streams(streams)


def _waiter_by_streams(streams: list[ChangeStream[dict[str, Any]]]) -> Callable[[float], bool]:
    def wait(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            changed = False
            for stream in streams:
                while stream.try_next() is not None:
                    changed = True
            if changed or time.monotonic() >= deadline:
                return changed

    return wait


def _waiter_by_polling(database: Database[dict[str, Any]]) -> Callable[[float], bool]:
    def state() -> list[tuple[str, str]]:
        return sorted(
            (d["_id"], d["content"]) for name in CURRENT_COLLECTIONS for d in database[name].find({}, {"content": 1})
        )

    known = state()

    def wait(seconds: float) -> bool:
        nonlocal known
        deadline = time.monotonic() + seconds
        while True:
            now = state()
            if now != known:
                known = now
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    return wait
