"""A cache of vectors on disk, keyed by model, precision and text, shared by runs and processes.

One SQLite file. It holds hashes, vectors and which documents they belong to, never text; and `forget` overwrites
what it deletes (secure_delete), because a vector tells about its text.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (document TEXT, key BLOB, PRIMARY KEY (document, key)) WITHOUT ROWID;
"""
MAX_VARIABLES = 500  # of one statement


class EmbeddingCache:
    """Vectors by key; safe for several threads and processes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "embeddings.db"
        self._guard = threading.Lock()
        self._connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA secure_delete=ON")
        self._connection.executescript(SCHEMA)

    @staticmethod
    def key(fingerprint: str, precision: str, text: str) -> bytes:
        """The key of a text under a model and precision."""
        return hashlib.sha256(f"{fingerprint}\0{precision}\0{text}".encode()).digest()[:20]

    def read(self, keys: list[bytes], dimension: int) -> dict[bytes, np.ndarray]:
        """The vectors that are known."""
        found: dict[bytes, np.ndarray] = {}
        for start in range(0, len(keys), MAX_VARIABLES):
            some = keys[start : start + MAX_VARIABLES]
            marks = ",".join("?" * len(some))
            with self._guard:
                rows = self._connection.execute(
                    f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some
                ).fetchall()
            for key, blob in rows:
                vector = np.frombuffer(blob, np.float32)
                if len(vector) == dimension:
                    found[bytes(key)] = vector
        return found

    def write(self, vectors: dict[bytes, np.ndarray]) -> None:
        """Store vectors."""
        rows = [(key, np.asarray(vector, np.float32).tobytes()) for key, vector in vectors.items()]
        with self._guard, self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def own(self, pairs: Iterable[tuple[bytes, str]]) -> None:
        """Note which document each key's text comes from."""
        with self._guard, self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO owners (key, document) VALUES (?, ?)", list(pairs))

    def forget(self, document_ids: Iterable[str]) -> int:
        """Delete all vectors of these documents' texts, of any revision, and leave no bytes. Returns how many."""
        removed = 0
        with self._guard:
            with self._connection:
                for document in document_ids:
                    removed += self._connection.execute(
                        "DELETE FROM vectors WHERE key IN (SELECT key FROM owners WHERE document = ?)", (document,)
                    ).rowcount
                    self._connection.execute("DELETE FROM owners WHERE document = ?", (document,))
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._connection.close()
