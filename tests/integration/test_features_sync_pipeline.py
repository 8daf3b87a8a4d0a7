"""The pipeline `sync` through the command line and kfp.local: each author of a sources file is a shard of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from llm_twin.collection.collect import collect
from llm_twin.documents import Author
from llm_twin.local.home import Home, open_home
from llm_twin.local.services import local_services
from llm_twin.recipes import CollectionRecipe, SourceRecipe
from llm_twin.stores.vectors import VectorIndex
from llm_twin.stores.warehouse import Warehouse

pytestmark = [pytest.mark.deep, pytest.mark.timeout(600)]
AUTHORS = ("wren", "lark")


def collect_notes(home: Home, folder: Path) -> None:
    with local_services(home, need=("warehouse",)) as urls, Warehouse.connect(urls["warehouse"]) as warehouse:
        for author in AUTHORS:
            sources = CollectionRecipe(sources=[SourceRecipe(location=str(folder / author))])
            collect(Author(id=author, name=author.title()), sources, warehouse)


def read_indexes(home: Home) -> dict[str, set[str]]:
    with local_services(home, need=("vectors",)) as urls, VectorIndex.connect(urls["vectors"]) as index:
        return {author: {chunk.text for chunk in index.iterate_chunks(author)} for author in AUTHORS}


def test_each_author_is_synced_and_only_what_changed_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("LLM_TWIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    listed = []
    for author in AUTHORS:
        (tmp_path / author).mkdir()
        for at in range(3):
            note = f"# Note {at}\n\nOf {author}: the tide tables number {at} hang beside the door for all to read.\n"
            (tmp_path / author / f"{at}.md").write_text(note)
        listed.append({"id": author, "name": author.title(), "sources": [{"location": str(tmp_path / author)}]})
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"authors": listed}))
    recipe = {"name": "two", "author": {"id": "two", "name": "Two"}}
    recipe |= {"collection": {"sources_file": str(tmp_path / "sources.yaml")}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    home = open_home(tmp_path / "home")
    command = [sys.executable, "-m", "llm_twin.cli", "run", "--pipeline", "sync", "--recipe"]

    def sync(*options: str) -> str:
        called = [*command, str(tmp_path / "recipe.yaml"), *options]
        subprocess.run(called, check=True, capture_output=True, timeout=500)
        return max((home.root / "logs").glob("run-*.log"), key=lambda log: log.stat().st_mtime_ns).read_text()

    collect_notes(home, tmp_path)
    log = sync()
    assert all(f"{author}: 3 documents; 3 written, 0 deleted" in log for author in AUTHORS)
    (tmp_path / "lark" / "1.md").write_text("# Note 1\n\nOf lark: nobody reads the tables, and so they went.\n")
    collect_notes(home, tmp_path)
    log = sync()
    assert "wren: 3 documents; 0 written, 0 deleted" in log
    assert "lark: 3 documents; 1 written, 0 deleted" in log
    for at in (0, 2):
        (tmp_path / "lark" / f"{at}.md").write_text(f"# Note {at}\n\nOf lark: page {at} of the tables is torn out.\n")
    collect_notes(home, tmp_path)
    log = sync("--shards", "3")
    assert "wren, shard 1 of 1: 3 documents; 0 written, 0 deleted" in log  # no steps for nothing
    assert "lark: 3 documents; 2 written, 0 deleted" in log
    assert all(f"lark, shard {at} of 2: " in log for at in (1, 2))
    found = read_indexes(home)
    assert sum("is torn out" in text for text in found["lark"]) == 2
    assert all(f"Of {author}" in text for author, texts in found.items() for text in texts)
    assert any("nobody reads the tables" in text for text in found["lark"])
