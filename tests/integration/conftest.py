"""A vector server, a warehouse and an encoder, one of each for a module's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from llm_twin.documents import Author
from llm_twin.embedding import Encoder, load_encoder
from llm_twin.local.services import free_port, start_process, stop_process, wait_for_port
from llm_twin.stores.vectors import VectorIndex
from llm_twin.stores.warehouse import Warehouse
from tests.integration.vector_process import VectorProcess


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder("all-MiniLM-L6-v2", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorProcess]:
    process = VectorProcess(tmp_path_factory.mktemp("vectors"))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def warehouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("warehouse"), free_port()
    command = [sys.executable, "-m", "nx_27017.nx_27017", "--db", str(folder / "w.db"), "--host", "127.0.0.1"]
    log = folder / "nx.log"
    files = ["--pid-file", str(folder / "nx.pid"), "--log-file", str(log)]
    process = start_process([*command, "--port", str(port), *files], folder / "out.log")
    wait_for_port(process, port, "warehouse", log)
    yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
    stop_process(process)


@pytest.fixture
def warehouse(warehouse_url: str) -> Iterator[Warehouse]:
    with Warehouse.connect(warehouse_url, "sync") as opened:
        opened.ensure_schema()
        yield opened


@pytest.fixture
def author(warehouse: Warehouse, vectors: VectorProcess, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"a{abs(hash(request.node.name)) % 10**8}"
    warehouse.put_author(Author(id=name, name="Ann Author"))
    yield name
    with VectorIndex.connect(vectors.url) as index:
        index.drop_author(name)
