"""What the guard found in passages, kept by their text: a passage is judged once, not once for each question.

In a file beside the server's state, where it has one, so that a restart judges nothing again. The file names the
weights that judged: others begin anew.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import xxhash

from llm_twin.serving.guardrails.cutting import Span
from llm_twin.serving.guardrails.injection import InjectionDetector, read_weights

logger = logging.getLogger(__name__)

REMEMBERED = 100_000  # passages in memory, some 200 bytes each
AT_ONCE = 8  # passages that are judged together: the more, the less each costs, and the later the first is known


@dataclass(frozen=True, slots=True)
class Found:
    """What of a passage should not reach a model, and what near it should only if it is needed."""

    spans: tuple[Span, ...] = ()
    near: tuple[Span, ...] = ()


class Verdicts:
    """What was found in each passage; used from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._known: OrderedDict[bytes, Found] = OrderedDict()
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"verdicts-{read_weights().examples}.db"
            self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=OFF")  # what a crash loses is judged again
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS found (key BLOB PRIMARY KEY, spans TEXT, near TEXT) WITHOUT ROWID"
            )

    def judge(
        self, texts: Sequence[str], detector: InjectionDetector, go_on: Callable[[], bool] = lambda: True
    ) -> Mapping[str, Found]:
        """What is in each text. Some texts are left out where `go_on` says so between two batches; never all."""
        found: dict[str, Found] = {}
        missing = []
        for text in texts:
            known = self._find(_key(text))
            if known is None:
                missing.append(text)
            else:
                found[text] = known
        for at in range(0, len(missing), AT_ONCE):
            if found and not go_on():
                break
            batch = missing[at : at + AT_ONCE]
            judged = detector.judge_documents(batch)
            fresh = {text: Found(one.spans, one.near) for text, one in zip(batch, judged, strict=True)}
            self._keep({_key(text): one for text, one in fresh.items()})
            found |= fresh
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _find(self, key: bytes) -> Found | None:
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
            if self._file is None:
                return None
            row = self._on_file("SELECT spans, near FROM found WHERE key = ?", [(key,)])
            if row is None:
                return None
            spans, near = (tuple((start, end) for start, end in orjson.loads(column)) for column in row)
            self._remember(key, Found(spans, near))
            return Found(spans, near)

    def _keep(self, fresh: dict[bytes, Found]) -> None:
        with self._lock:
            for key, one in fresh.items():
                self._remember(key, one)
            if self._file is not None:
                rows = [
                    (key, orjson.dumps(one.spans).decode(), orjson.dumps(one.near).decode())
                    for key, one in fresh.items()
                ]
                self._on_file("INSERT OR REPLACE INTO found VALUES (?, ?, ?)", rows)

    def _on_file(self, statement: str, rows: list[tuple[Any, ...]]) -> tuple[Any, ...] | None:
        """Run a statement for each row; returns what the last one found. A file that fails is given up: what it held
        is judged again, which is no reason not to answer."""
        assert self._file is not None
        found = None
        try:
            for row in rows:
                found = self._file.execute(statement, row).fetchone()
        except sqlite3.Error as error:
            logger.warning("verdicts on passages are kept in memory only from here: %s", error)
            self._file = None
        return found

    def _remember(self, key: bytes, found: Found) -> None:
        self._known[key] = found
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _key(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
