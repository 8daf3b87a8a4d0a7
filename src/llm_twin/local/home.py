"""The home folder: all local state, in one place, with a schema version."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_twin.errors import InputError

SCHEMA_VERSION = 1
NEEDED_FREE_BYTES = 500_000_000


@dataclass(frozen=True)
class Home:
    """Paths below `LLM_TWIN_HOME`; `open_home` makes and checks them."""

    root: Path

    @property
    def mongodb(self) -> Path:
        """The warehouse's database files."""
        return self.root / "mongodb"

    @property
    def vectors(self) -> Path:
        """The vector index's shards."""
        return self.root / "vectors"

    @property
    def mlflow(self) -> Path:
        """MLflow's SQLite file and its artifacts."""
        return self.root / "mlflow"

    @property
    def artifacts(self) -> Path:
        """What pipeline steps wrote: `runs/` by run, `content/` by digest."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """What can be made again: seedlings, embeddings, kfp's cache entries."""
        return self.root / "cache"

    @property
    def twins(self) -> Path:
        """One JSON file a twin: where its models and index are."""
        return self.root / "twins"

    @property
    def reports(self) -> Path:
        """HTML reports of runs."""
        return self.root / "reports"

    @property
    def logs(self) -> Path:
        """Logs of runs and services."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """State files of living services, and locks."""
        return self.root / "run"


def open_home(root: Path) -> Home:
    """Make the folder where it is missing, check that it can be written, has room and a known schema version.

    Raises InputError (with the remedy) for an unwritable or full folder and for a newer version's state.
    """
    home = Home(root)
    try:
        for folder in (home.mongodb, home.vectors, home.mlflow, home.artifacts, home.cache, home.twins):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (home.reports, home.logs, home.run):
            folder.mkdir(exist_ok=True)
        probe = home.run / f".probe-{os.getpid()}"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to {root}: {error.strerror or error}",
            "set LLM_TWIN_HOME to a folder that you can write to and that has room",
        ) from error
    free = shutil.disk_usage(root).free
    if free < NEEDED_FREE_BYTES:
        raise InputError(
            f"only {free / 1e6:,.0f} MB free under {root}, expected {NEEDED_FREE_BYTES / 1e6:,.0f} MB or more",
            "free some room, or set LLM_TWIN_HOME to another disk",
        )
    _check_schema(home)
    return home


def _check_schema(home: Home) -> None:
    marker = home.root / "schema_version"
    if not marker.exists():
        marker.write_text(f"{SCHEMA_VERSION}\n")
        return
    found = marker.read_text().strip()
    if found != str(SCHEMA_VERSION):
        raise InputError(
            f"{home.root} holds state of schema version {found}, this llm-twin knows version {SCHEMA_VERSION}",
            "use the version of llm-twin that wrote it, or another LLM_TWIN_HOME",
        )


@contextmanager
def exclusive(home: Home, name: str, remedy: str, *, wait: bool = False, shared: bool = False) -> Iterator[None]:
    """Hold the lock `name` of this home, alone or with others that share it.

    Raises InputError at once if another process is in the way (unless `wait`).
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with (home.run / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(f"another process is using {home.root} ({name})", remedy) from None
        yield
