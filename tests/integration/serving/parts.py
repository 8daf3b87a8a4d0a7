"""A real index and real servers over the overfitted twin, for the tests of serving."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_twin.documents import Chunk
from llm_twin.embedding import load_encoder
from llm_twin.features.indexing import index_folder
from llm_twin.features.vectors import write_vectors
from llm_twin.recipes import FeaturesRecipe
from llm_twin.serving.probe import Served, serve_twins
from llm_twin.serving.processes import free_port, run_server
from llm_twin.stores.vectors import VectorIndex
from tests.integration.serving import overfitted_twin as small


@contextmanager
def running_index(folder: Path, passages: Sequence[Chunk] = (), port: int = 0) -> Iterator[str]:
    """The local vector server, holding these passages (the ten of the twin, if none are given); yields its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["--path", str(folder / "vectors"), "--port", str(port), "--exit-with-parent"]
    with run_server("llm_twin.local.vector_server", arguments, f"{url}/collections", folder / "vectors.log"):
        passages = passages or [small.make_chunk(i) for i in range(len(small.FACTS))]
        chunks = sorted(passages, key=lambda chunk: chunk.document_id)
        recipe = FeaturesRecipe()
        write_vectors(folder / "embedded", chunks, load_encoder(recipe.embedder), recipe)
        with VectorIndex.connect(url) as index:
            index_folder(small.AUTHOR.id, chunks, folder / "embedded", index, recipe)
        yield url


@contextmanager
def running_twin(folder: Path, models: dict[str, Path], vectors: str, **changes: Any) -> Iterator[Served]:
    """Predictor with both adapters and transformer, over the index."""
    twin = small.make_twin(variants={"base": "base", "sft": "first", "dpo": "second"}, **changes)
    adapters = {name: str(models[name]) for name in ("first", "second")}
    with serve_twins(
        [twin], base=models["base"], adapters=adapters, vectors_url=vectors, logs=folder / "logs", threads=1,
        state_dir=folder / "state", tracking_uri=f"sqlite:///{folder}/mlflow/mlflow.db",
    ) as served:  # fmt: skip
        yield served


def eventually(check, seconds=90):
    """Wait until `check` holds; fail after so many seconds."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until
        time.sleep(0.1)
