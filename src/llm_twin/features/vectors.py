"""Vectors of chunks: dense from the encoder, sparse from BM25, and their files between two steps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np

from llm_twin.documents import Chunk
from llm_twin.embedding import Encoder
from llm_twin.errors import InputError, QualityError
from llm_twin.features.ahead import map_ahead, read_ahead
from llm_twin.features.context import describe_place
from llm_twin.features.sparse import weigh_document
from llm_twin.progress import track
from llm_twin.recipes import FeaturesRecipe

FIRST_WINDOW_CHUNKS = 32
WINDOW_CHUNKS = 512  # embedded at once: enough to sort by length, little enough to hold
COLLAPSED_COSINE = 0.999
MIN_CHUNKS_TO_JUDGE = 20
Sparse = tuple[list[int], list[float]]  # indices, weights
Window = tuple[list[Chunk], list[str], list[Sparse]]  # chunks, what is embedded of them, term weights
FILES = ("dense", "ends", "indices", "values")


def embedding_text(chunk: Chunk, context: str) -> str:
    """What the encoder and the term weights see of a chunk: its title and headings, as the recipe says, and text.

    The title leads even where the text begins with it: said twice it weighs more, as a title should.
    """
    lead = describe_place(chunk.title, chunk.headings, context)
    return f"{lead}\n{chunk.text}" if lead else chunk.text


def embed_chunks(
    chunks: Iterable[Chunk], encoder: Encoder, recipe: FeaturesRecipe
) -> Iterator[tuple[list[Chunk], np.ndarray, list[Sparse]]]:
    """Windows of chunks with their dense vectors (n × dimension, unit length) and sparse ones, in order.

    The next windows are cut and their terms weighed while one is embedded, and the encoder has two at a time, so that
    no core waits for the end of a window. Raises QualityError for collapsed vectors.
    """

    def encode(window: Window) -> np.ndarray:
        return encoder.encode(window[1], owners=[chunk.document_id for chunk in window[0]])

    for (window, _, sparse), dense in map_ahead(encode, read_ahead(_prepare_windows(chunks, recipe.context))):
        check_vectors(dense)
        yield window, dense, sparse


def _prepare_windows(chunks: Iterable[Chunk], context: str) -> Iterator[Window]:
    """Windows that double up to WINDOW_CHUNKS, so that the encoder need not wait long for the first."""
    stream = iter(chunks)
    size = FIRST_WINDOW_CHUNKS
    while window := list(islice(stream, size)):
        texts = [embedding_text(chunk, context) for chunk in window]
        yield window, texts, [weigh_document(text) for text in texts]
        size = min(2 * size, WINDOW_CHUNKS)


def check_vectors(dense: np.ndarray) -> None:
    """Raise QualityError for vectors that are not of unit length or have collapsed into one direction."""
    if not len(dense):
        return
    norms = np.linalg.norm(dense, axis=1)
    if not np.all(np.abs(norms - 1) < 1e-3):
        raise QualityError(f"{int(np.sum(np.abs(norms - 1) >= 1e-3))} vectors are not of unit length")
    center = dense.mean(axis=0)
    if len(dense) >= MIN_CHUNKS_TO_JUDGE and float(np.linalg.norm(center)) > COLLAPSED_COSINE:
        raise QualityError("all vectors point the same way: the encoder tells no texts apart", "check the model")


def write_vectors(folder: Path, chunks: Iterable[Chunk], encoder: Encoder, recipe: FeaturesRecipe) -> int:
    """Embed chunks into a folder, window by window, so memory stays flat. Returns how many.

    Files: dense (float32 rows), ends (int64, where each sparse row ends), indices (uint32), values (float32), all
    without headers; manifest.json says the rest, and which documents they come from, so that `forget` finds them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = end = 0
    documents: dict[str, None] = {}
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in FILES}
        for window, dense, sparse in track(embed_chunks(chunks, encoder, recipe), "embedding windows of chunks"):
            files["dense"].write(dense.tobytes())
            for indices, values in sparse:
                end += len(indices)
                files["ends"].write(np.int64(end).tobytes())
                files["indices"].write(np.array(indices, np.uint32).tobytes())
                files["values"].write(np.array(values, np.float32).tobytes())
            count += len(window)
            documents |= dict.fromkeys(chunk.document_id for chunk in window)
    manifest = {"fingerprint": encoder.fingerprint, "dimension": encoder.dimension, "count": count}
    manifest["documents"] = list(documents)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return count


class VectorFiles:
    """The vectors of a folder that `write_vectors` wrote, read from disk as they are asked for."""

    def __init__(self, folder: Path) -> None:
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            self.fingerprint: str = manifest["fingerprint"]
            self.dimension: int = manifest["dimension"]
            self._count: int = manifest["count"]
            self.dense = _map(folder / "dense", np.float32).reshape(self._count, self.dimension)
            self._ends = np.concatenate([np.zeros(1, np.int64), _map(folder / "ends", np.int64)])
            self._indices, self._values = _map(folder / "indices", np.uint32), _map(folder / "values", np.float32)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder} holds no vectors: {error}", "run the embedding step again") from error

    def __len__(self) -> int:
        return self._count

    def sparse(self, row: int) -> tuple[list[int], list[float]]:
        """Indices and values of one row."""
        part = slice(int(self._ends[row]), int(self._ends[row + 1]))
        return self._indices[part].tolist(), self._values[part].tolist()


def _map(path: Path, kind: type) -> np.ndarray:
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)
