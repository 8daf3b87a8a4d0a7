"""`kill -9` at any moment, then again: the warehouse equals that of an undisturbed run. And many crawlers at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_twin import sample
from llm_twin.stores.warehouse import Warehouse
from tests.integration.warehouse_process import running_warehouse

DATA = Path(sample.__file__).parent / "data"
CRAWLER = """
import sys
from llm_twin.collection.collect import collect
from llm_twin.documents import Author
from llm_twin.recipes import CollectionRecipe, SourceRecipe
from llm_twin.stores.warehouse import Warehouse
url, database, *locations = sys.argv[1:]
recipe = CollectionRecipe(sources=[SourceRecipe(location=one) for one in locations])
with Warehouse.connect(url, database) as warehouse:
    print(collect(Author(id="odalys-fenwick", name="Odalys Fenwick"), recipe, warehouse).snapshot)
"""
LOCATIONS = [str(DATA / name) for name in ("medium-export.zip", "linkedin-export.zip", "tidelog.bundle")]
# What a clock or a key of the server's own writes; all else must be equal.
VOLATILE = {"collected_at", "at", "key", "digest"}


def start(where: tuple[str, str], *locations: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CRAWLER, *where, *(locations or LOCATIONS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def everything(where: tuple[str, str]) -> dict[str, list[Any]]:
    """All that the warehouse holds, without times."""
    with Warehouse.connect(*where) as warehouse:
        return {
            name: sorted(
                str({k: v for k, v in d.items() if k not in VOLATILE}) for d in warehouse.database[name].find()
            )
            for name in warehouse.database.list_collection_names()
            if name != "schema"
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Any]]]:
    with running_warehouse(tmp_path_factory.mktemp("calm")) as where:
        assert start(where).wait(180) == 0
        yield everything(where)


def crawl_with_kills(where: tuple[str, str], kills: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(kills):
        process = start(where)
        time.sleep(chance.uniform(0.5, 5.0))
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    assert start(where).wait(180) == 0


def test_killed_and_run_again_equals_undisturbed(undisturbed: dict[str, list[Any]], tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as where:
        crawl_with_kills(where, kills=2, seed=1)
        found = everything(where)
    assert found.keys() == undisturbed.keys()
    for name in found:
        if name != "snapshots":  # an interrupted run may have named a part, which is no part of the state
            assert found[name] == undisturbed[name], name
    assert set(undisturbed["snapshots"]) <= set(found["snapshots"])


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(5))
def test_many_kills(undisturbed: dict[str, list[Any]], tmp_path: Path, seed: int) -> None:
    with running_warehouse(tmp_path) as where:
        crawl_with_kills(where, kills=6, seed=seed + 100)
        found = everything(where)
    assert {n: v for n, v in found.items() if n != "snapshots"} == {
        n: v for n, v in undisturbed.items() if n != "snapshots"
    }


@pytest.mark.deep
def test_eight_crawlers_of_one_author_at_once(undisturbed: dict[str, list[Any]], tmp_path: Path) -> None:
    with running_warehouse(tmp_path) as where:
        crawlers = [start(where) for _ in range(8)]
        snapshots = {crawler.communicate(timeout=280)[0].strip().splitlines()[-1] for crawler in crawlers}
        assert [crawler.returncode for crawler in crawlers] == [0] * 8
        found = everything(where)
    assert snapshots
    assert {n: v for n, v in found.items() if n != "snapshots"} == {
        n: v for n, v in undisturbed.items() if n != "snapshots"
    }
