"""Replies by the content of what was asked, in one SQLite file, so that a second run asks nothing."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

from llm_twin.digests import digest_json
from llm_twin.errors import StoreError


class ReplyCache:
    """A file of good replies; several processes may use it at once. Only what passed its checks is put in."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"cannot use the reply cache {path}: {error}", "remove the file; it is only a cache"
            ) from error

    @staticmethod
    def key(question: dict[str, Any]) -> str:
        """The key of a question: all that bears on its reply."""
        return digest_json(question)

    def get(self, key: str) -> str | None:
        """The reply's text, or None."""
        with self._lock:
            row = self._connection.execute("SELECT text FROM replies WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def put(self, key: str, text: str) -> None:
        """Keep a reply; the first one stays."""
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, text))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
