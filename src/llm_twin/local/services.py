"""The processes that stand in for a cluster's services on one machine, started on free loopback ports.

A service that an address in the environment names is used as it is and never started. One that already lives over
the same home (its state file says so) is shared. What we start, we stop, by its own pid; and the kernel stops it
should we be killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from llm_twin.errors import ServiceError
from llm_twin.local.home import Home, exclusive

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 10.0
PR_SET_PDEATHSIG = 1

CommandMaker = Callable[[Home, int], list[str]]


def _warehouse_command(home: Home, port: int) -> list[str]:
    pid_file = home.run / "nx-27017.pid"  # its defaults lie in the shared temporary folder
    pid_file.unlink(missing_ok=True)  # a killed server's file could name a stranger's pid
    return [
        *(sys.executable, "-m", "nx_27017.nx_27017"),
        *("--db", str(home.mongodb / "warehouse.db"), "--host", "127.0.0.1", "--port", str(port)),
        *("--pid-file", str(pid_file), "--log-file", str(home.logs / "nx-27017.log")),
    ]


def _vectors_command(home: Home, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "llm_twin.local.vector_server"),
        *("--path", str(home.vectors), "--port", str(port), "--exit-with-parent"),
    ]


# name → (variable that names an outside server, how its URL is written, how the process is started)
SERVICES: dict[str, tuple[str, str, CommandMaker]] = {
    "warehouse": (
        "LLM_TWIN_MONGODB_URL",
        "mongodb://127.0.0.1:{port}/?directConnection=true",
        _warehouse_command,
    ),
    "vectors": ("LLM_TWIN_QDRANT_URL", "http://127.0.0.1:{port}", _vectors_command),
}


@contextmanager
def local_services(home: Home, need: Sequence[str] = ("warehouse", "vectors")) -> Iterator[dict[str, str]]:
    """Have the services `need` up, their addresses in the environment; yields name → URL.

    Raises ServiceError with the end of the log if one does not come up in a minute.
    """
    with ExitStack() as stack:
        urls: dict[str, str] = {}
        for name in need:
            variable, template, make_command = SERVICES[name]
            if os.environ.get(variable):
                urls[name] = os.environ[variable]
                continue
            port = stack.enter_context(_service(home, name, make_command))
            urls[name] = template.format(port=port)
            os.environ[variable] = urls[name]
            stack.callback(os.environ.pop, variable, None)
        os.environ.setdefault("LLM_TWIN_HOME", str(home.root))
        yield urls


@contextmanager
def _service(home: Home, name: str, make_command: CommandMaker) -> Iterator[int]:
    """One living service's port: shared if it lives, else started here and stopped at the end."""
    state_file = home.run / f"{name}.json"
    with exclusive(home, f"start-{name}", "wait for it", wait=True):
        port = _living_port(state_file)
        process = None
        if port is None:
            port = free_port()
            process = start_process(make_command(home, port), home.logs / f"{name}.log")
            wait_for_port(process, port, name, home.logs / f"{name}.log")
            state = {"pid": process.pid, "port": port, "created": psutil.Process(process.pid).create_time()}
            state_file.write_text(json.dumps(state))
    try:
        yield port
    finally:
        if process is not None:
            stop_process(process)
            state_file.unlink(missing_ok=True)


def _living_port(state_file: Path) -> int | None:
    try:
        state = json.loads(state_file.read_text())
        same = psutil.Process(state["pid"]).create_time() == state["created"]
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return state["port"] if same and can_connect(state["port"]) else None


def free_port() -> int:
    """A TCP port that is free on loopback at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def can_connect(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_process(command: list[str], log: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own (Ctrl-C reaches us, and we stop it) that dies with us on Linux."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_for_port(
    process: subprocess.Popen[bytes],
    port: int,
    name: str,
    log: Path,
    timeout_seconds: float = START_TIMEOUT_SECONDS,
) -> None:
    """Return once `port` accepts; raise ServiceError, with the log's end, if the process dies or time runs out."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if can_connect(port):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    stop_process(process)
    last = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) if log.exists() else "no log"
    raise ServiceError(f"{name} did not come up on 127.0.0.1:{port}: {last}", f"see {log}")


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a child to end, and end it after ten seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
