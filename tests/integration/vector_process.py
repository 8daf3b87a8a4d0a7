"""The loopback vector server as a process of its own, for tests; or a real Qdrant that the environment names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

OUTSIDE = os.environ.get("LLM_TWIN_TEST_QDRANT_URL", "")


class VectorProcess:
    """A vector server over a folder; `kill` is kill -9, `stop` is SIGTERM."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.start(port)

    def start(self, port: int = 0) -> None:
        """Start over the folder; on the same port as before, if there was one."""
        command = [sys.executable, "-m", "llm_twin.local.vector_server", "--path", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--exit-with-parent"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        """End it at once."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)
