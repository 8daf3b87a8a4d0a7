"""Deleted rows leave their bytes in a SQLite file until it is written anew: done after something was forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from llm_twin.local.home import Home

BUSY_SECONDS = 10


def compact_warehouse(home: Home) -> bool:
    """Write this machine's warehouse file anew, without what was deleted; False if someone has it locked."""
    path = home.mongodb / "warehouse.db"
    if not path.is_file():
        return True
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            indexes = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%USING fts5%'"
            for (name,) in connection.execute(indexes).fetchall():  # full-text indexes keep deleted words until merged
                connection.execute(f'INSERT INTO "{name}" ("{name}") VALUES (\'optimize\')')
            connection.execute("VACUUM")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:
        return False
    return not busy
