"""An nx-27017 server of a test's own on a free port; or the MongoDB that LLM_TWIN_TEST_MONGODB_URL names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_twin.stores.warehouse import Warehouse

OUTSIDE = os.environ.get("LLM_TWIN_TEST_MONGODB_URL", "")


class WarehouseProcess:
    """A server over one file; all its paths are the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self.start()

    def start(self) -> None:
        """Start over the file, and wait until it accepts."""
        command = [sys.executable, "-m", "nx_27017.nx_27017", "--host", "127.0.0.1", "--port", str(self.port)]
        paths = [
            "--db",
            self.folder / "w.db",
            "--pid-file",
            self.folder / "nx.pid",
            "--log-file",
            self.folder / "nx.log",
        ]
        self.process = subprocess.Popen(
            [*command, *map(str, paths)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None and time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait(20)


@contextmanager
def running_warehouse(folder: Path) -> Iterator[tuple[str, str]]:
    """(URL, a fresh database's name) of a server to test against."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    if OUTSIDE:
        try:
            yield OUTSIDE, database
        finally:
            with Warehouse.connect(OUTSIDE, database) as warehouse:
                warehouse.client.drop_database(database)
        return
    process = WarehouseProcess(folder)
    try:
        yield process.url, database
    finally:
        process.stop()
