"""What callers have used, kept in SQLite so that a restart forgets nothing: requests and tokens of a key's day, and
how full the buckets of rates are.

A day's counts are written as they happen, and servers that share the file count together. Buckets live in the
server's memory and are written once a second: servers count rates apart, and one that was killed forgets a second.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_twin.errors import StoreError

logger = logging.getLogger("llm_twin.serving")
REMEMBERED = 10_000  # callers whose rate is kept
FULL_AFTER_SECONDS = 60.0  # a bucket holds a minute's requests: one not used for so long is full
SAVE_SECONDS = 1.0
BUSY_SECONDS = 0.5  # another process writes for microseconds

_SCHEMA = """
create table if not exists days (
    key text not null, day integer not null, requests integer not null, tokens integer not null,
    primary key (key, day)
);
create table if not exists rates (name text primary key, rate integer not null, left real not null, at real not null);
"""
_TAKE = """
insert into days values (:key, :day, 1, 0) on conflict (key, day) do update set requests = requests + 1
where requests < :requests and (:tokens is null or tokens < :tokens) returning requests
"""
_SPEND = """
insert into days values (?, ?, 0, ?) on conflict (key, day) do update set tokens = tokens + excluded.tokens
"""


@dataclass
class Bucket:
    """A token bucket: `rate` a minute, as many at once."""

    rate: int
    left: float
    filled: float

    def take(self, now: float) -> float:
        """Take one; returns 0, or the seconds to wait."""
        self.left = min(float(self.rate), self.left + max(0.0, now - self.filled) * self.rate / 60)
        self.filled = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) * 60 / self.rate


class Usage:
    """Counts in one file; in memory without one. Used from the event loop's thread alone. Raises StoreError where
    the file does not open."""

    def __init__(self, path: Path | None = None, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall  # seconds since 1970
        try:
            self.database = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path} does not open: {error}", "move it away: what it counted is lost") from error
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._touched: set[str] = set()
        self._saved = wall()

    def take_rate(self, name: str, rate: int) -> float:
        """Count a request against a rate (a minute); returns 0, or the seconds to wait."""
        now = self.wall()
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[name] = self._read_bucket(name, rate, now)
            while len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        wait = bucket.take(now)
        self._touched.add(name)
        if not 0 <= now - self._saved < SAVE_SECONDS:
            self.save()
        return wait

    def take_day(self, key: str, requests: int, tokens: int | None) -> str:
        """Count a request against a key's day; returns the empty string, or what is used up.

        A file that cannot be written lets requests in: a full disk must not stop the answers.
        """
        day = self._day()
        given = {"key": key, "day": day, "requests": requests, "tokens": tokens}
        try:
            taken = self.database.execute(_TAKE, given).fetchone()
            if taken is None:
                used = self.database.execute("select requests from days where key = ? and day = ?", (key, day))
                return "requests" if used.fetchone()[0] >= requests else "tokens"
            if taken[0] == 1:
                self.database.execute("delete from days where day < ?", (day,))
        except sqlite3.Error as error:
            logger.warning("a request of key %s is not counted: %s", key, error)
        return ""

    def spend(self, key: str, tokens: int) -> None:
        """Count tokens that the predictor read and wrote for a key."""
        try:
            self.database.execute(_SPEND, (key, self._day(), tokens))
        except sqlite3.Error as error:
            logger.warning("%d tokens of key %s are not counted: %s", tokens, key, error)

    def save(self) -> None:
        """Write the buckets that were used since the last time, and drop those that are full by now."""
        self._saved = now = self.wall()
        rows = [(name, b.rate, b.left, b.filled) for name in self._touched if (b := self._buckets.get(name))]
        self._touched.clear()
        try:
            self.database.execute("begin immediate")
            self.database.executemany("insert or replace into rates values (?, ?, ?, ?)", rows)
            self.database.execute("delete from rates where at < ?", (now - FULL_AFTER_SECONDS,))
            self.database.execute("commit")
        except sqlite3.Error as error:
            if self.database.in_transaction:
                self.database.execute("rollback")
            logger.warning("rates are not kept: %s", error)

    def close(self) -> None:
        """Write what is left."""
        self.save()
        self.database.close()

    def _read_bucket(self, name: str, rate: int, now: float) -> Bucket:
        try:
            row = self.database.execute("select rate, left, at from rates where name = ?", (name,)).fetchone()
        except sqlite3.Error:
            row = None
        if row is None or row[0] != rate:
            return Bucket(rate, float(rate), now)
        return Bucket(rate, row[1], min(row[2], now))

    def _day(self) -> int:
        return int(self.wall() // 86400)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it names callers
    database = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")  # what is written survives the process
    database.executescript(_SCHEMA)
    return database
