"""Starting predictor and transformer as child processes, and stopping exactly those."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import llm_twin
from llm_twin.errors import ServiceError

PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """A TCP port that is free on loopback at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def run_server(
    module: str,
    arguments: list[str],
    ready_url: str,
    log: Path,
    timeout_seconds: float = 300,
    python: str | Path = sys.executable,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m module …` until the block ends; enter once `ready_url` answers 200.

    Raises ServiceError, with the end of the log, if it dies before or takes too long. The kernel ends the
    child should this process be killed (Linux).
    """
    process = start_server(module, arguments, log, python)
    try:
        wait_ready(process, ready_url, log, timeout_seconds)
        yield process
    finally:
        stop_server(process)


def start_server(
    module: str, arguments: list[str], log: Path, python: str | Path = sys.executable
) -> subprocess.Popen[bytes]:
    """Start `python -m module …` in a session of its own, its output going to `log`.

    Another interpreter than this one finds this package, and nothing else of this one's.
    """
    environment = dict(os.environ)
    if str(python) != sys.executable:
        environment["PYTHONPATH"] = str(Path(llm_twin.__file__).parents[1])
        environment.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # its own choice for two cores is one, too few for it
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(python), "-m", module, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_ready(process: subprocess.Popen[bytes], url: str, log: Path, timeout_seconds: float) -> None:
    """Return once `url` answers 200. Raises ServiceError, with the end of the log, if it never does."""
    deadline = time.monotonic() + timeout_seconds
    problem = "it did not answer in time"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            problem = f"it ended with code {process.returncode}"
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if response.status == 200:
                    return
        except urllib.error.HTTPError as error:
            problem = f"it answers {error.code}: {error.read()[:200].decode(errors='replace')}"
        except OSError:
            pass
        time.sleep(0.1)
    last = " | ".join(log.read_text(errors="replace").strip().splitlines()[-4:]) if log.exists() else "no log"
    raise ServiceError(f"{url} did not come up, {problem}: {last[-1200:]}", f"see {log}")


def stop_server(process: subprocess.Popen[bytes], grace_seconds: float = 15) -> None:
    """Ask the child to end (it drains first); end it when the grace is over."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def write_json(path: Path, value: object) -> None:
    """Write JSON beside `path`, readable by the owner only, and then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.touch(mode=0o600)
    beside.write_text(json.dumps(value, indent=1, default=str))
    beside.replace(path)
