"""`twin forget` over real servers: the page and all that was derived of it goes at once, and a second call agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from llm_twin.cli import app, collection
from llm_twin.collection.collect import collect
from llm_twin.documents import Author
from llm_twin.embedding import load_encoder
from llm_twin.features.sync import sync_author
from llm_twin.local.home import Home, open_home
from llm_twin.local.services import local_services
from llm_twin.recipes import CollectionRecipe, FeaturesRecipe, SourceRecipe
from llm_twin.stores.vectors import VectorIndex
from llm_twin.stores.warehouse import Warehouse

AUTHOR = Author(id="wren", name="W. Wren")
RECIPE = FeaturesRecipe(max_tokens=64)
MARKER = "quillonfarthing"
URL = "folder://notes/secret.md"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose warehouse and index hold two notes; one of them also in a step's output."""
    monkeypatch.setenv("LLM_TWIN_HOME", str(tmp_path / "home"))
    for name in ("LLM_TWIN_MONGODB_URL", "LLM_TWIN_QDRANT_URL", "LLM_TWIN_MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "secret.md").write_text(f"# Secret\n\nThe {MARKER} was sold in the harbour by two men who left no name.\n")
    (notes / "open.md").write_text("# Open\n\nThe tide tables hang beside the door, where everyone can read them.\n")
    home = open_home(tmp_path / "home")
    with local_services(home) as urls, Warehouse.connect(urls["warehouse"]) as warehouse:
        collect(AUTHOR, CollectionRecipe(sources=[SourceRecipe(location=str(notes))]), warehouse)
        encoder = load_encoder("all-MiniLM-L6-v2", home.cache / "embeddings")
        with VectorIndex.connect(urls["vectors"]) as index:
            sync_author(warehouse, index, encoder, RECIPE, AUTHOR.id)
        (secret,) = [d for d in warehouse.current_documents(AUTHOR.id) if d.url == URL]
    for name, text in (("one", secret.model_dump_json()), ("two", "of another document")):
        (home.artifacts / "content" / name).mkdir(parents=True)
        (home.artifacts / "content" / name / "documents").write_text(text)
    yield home


def forget(what: str) -> Result:
    if not app.registered_commands:
        collection.register(app)
    return CliRunner().invoke(app, ["forget", what, "--yes"])


def indexed(home: Home) -> list[str]:
    with local_services(home, need=("vectors",)) as urls, VectorIndex.connect(urls["vectors"]) as index:
        found = index.current_collection(AUTHOR.id) is not None
        return [chunk.text for chunk in index.iterate_chunks(AUTHOR.id)] if found else []


def find_marker(home: Home, *traces: bytes) -> list[Path]:
    """Files of the home that hold the forgotten word, or another trace."""
    files = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    return [path for path, content in files.items() if any(one in content for one in (MARKER.encode(), *traces))]


def read_vectors(home: Home) -> list[bytes]:
    """Beginning and end of each vector of the secret's text: a page of a file may part a vector."""
    with local_services(home, need=("vectors",)) as urls, VectorIndex.connect(urls["vectors"]) as index:
        secret = [chunk.chunk_id for chunk in index.iterate_chunks(AUTHOR.id) if MARKER in chunk.text]
        found = index.read_chunks(AUTHOR.id, secret).values()
    whole = [np.asarray(one.vector, np.float32).tobytes() for one in found]
    return [part for vector in whole for part in (vector[:400], vector[-400:])]


def test_a_page_and_then_its_author(home: Home) -> None:
    assert any(MARKER in text for text in indexed(home))
    assert {path.parent.name for path in find_marker(home)} >= {"mongodb", "one"}
    vectors = read_vectors(home)
    held = {path.relative_to(home.root).parts[0] for path in find_marker(home, *vectors)}
    assert vectors and {"cache", "artifacts"} < held
    result = forget(URL)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert len(record["documents"]) == 1 and MARKER not in result.output
    left = indexed(home)
    assert left and not any(MARKER in text for text in left)
    assert [entry.name for entry in (home.artifacts / "content").iterdir()] == ["two"]
    assert find_marker(home, *vectors) == []

    again = forget(URL)  # as after a call that was killed half-way
    assert again.exit_code == 0 and json.loads(again.stdout)["documents"] == record["documents"]

    result = forget(AUTHOR.id)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["documents"]) == 2
    assert indexed(home) == []
    unknown = forget("https://never.example/seen")
    assert unknown.exit_code != 0
