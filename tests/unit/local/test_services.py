"""The machine's own services: real processes, shared while they live, gone when their owner goes."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pymongo
import pytest

from llm_twin.errors import ServiceError
from llm_twin.local.home import open_home
from llm_twin.local.services import (
    can_connect,
    free_port,
    local_services,
    start_process,
    stop_process,
    wait_for_port,
)

HOLD = """
import sys, time
from pathlib import Path
from llm_twin.local.home import open_home
from llm_twin.local.services import local_services
with local_services(open_home(Path(sys.argv[1])), need=("warehouse",)) as urls:
    print(urls["warehouse"], flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_outside_servers(monkeypatch) -> None:
    for name in ("LLM_TWIN_MONGODB_URL", "LLM_TWIN_QDRANT_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_warehouse_comes_up_keeps_data_and_goes(tmp_path) -> None:
    home = open_home(tmp_path / "home")
    for expected in ([], [1]):
        with local_services(home, need=("warehouse",)) as urls:
            assert os.environ["LLM_TWIN_MONGODB_URL"] == urls["warehouse"]
            with pymongo.MongoClient(urls["warehouse"]) as client:
                rows = client.things.rows
                assert [row["_id"] for row in rows.find()] == expected
                rows.update_one({"_id": 1}, {"$set": {"a": 1}}, upsert=True)
            port = int(urls["warehouse"].split(":")[2].split("/")[0])
        assert not can_connect(port)
        assert "LLM_TWIN_MONGODB_URL" not in os.environ


def test_a_living_service_is_shared_and_left_to_its_owner(tmp_path) -> None:
    home = open_home(tmp_path / "home")
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    url = owner.stdout.readline().strip()
    try:
        with local_services(home, need=("warehouse",)) as urls:
            assert urls["warehouse"] == url
        port = int(url.split(":")[2].split("/")[0])
        assert can_connect(port)
        servers = psutil.Process(owner.pid).children(recursive=True)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        deadline = time.monotonic() + 10
        while any(server.is_running() for server in servers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not can_connect(port), "a killed owner must not leave its server behind"
    finally:
        owner.kill()
        owner.wait()


def test_a_server_named_in_the_environment_is_used_as_it_is(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LLM_TWIN_MONGODB_URL", "mongodb://db.example:27017/")
    with local_services(open_home(tmp_path / "home"), need=("warehouse",)) as urls:
        assert urls == {"warehouse": "mongodb://db.example:27017/"}
    assert os.environ["LLM_TWIN_MONGODB_URL"] == "mongodb://db.example:27017/"


def test_a_service_that_dies_says_why(tmp_path) -> None:
    log = tmp_path / "x.log"
    process = start_process([sys.executable, "-c", "raise SystemExit('no such disk')"], log)
    try:
        with pytest.raises(ServiceError, match="no such disk"):
            wait_for_port(process, free_port(), "warehouse", log)
    finally:
        stop_process(process)
