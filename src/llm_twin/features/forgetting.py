"""Forget documents: no query, cache or file of the features stage keeps a trace of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_twin.embedding import EmbeddingCache
from llm_twin.stores.vectors import VectorIndex

BLOCK_BYTES = 1 << 20
GOING = ".forgotten-"  # before the name of what is being deleted


@dataclass(frozen=True)
class Forgotten:
    """What went: whether an index was rebuilt, and how many cached vectors were overwritten."""

    index_rebuilt: bool
    cached_vectors: int


def forget_documents(
    author: str, document_ids: Sequence[str], index: VectorIndex | None, cache: EmbeddingCache | None
) -> Forgotten:
    """Remove documents from the author's index and from the cache of vectors, bytes included.

    An index only marks deleted points, so the collection is copied without the documents and the old one dropped;
    readers go over at the swap of the alias. Run again after being killed, it finishes.
    """
    rebuilt = index is not None and bool(document_ids) and index.rebuild_without(author, document_ids) is not None
    removed = cache.forget(document_ids) if cache is not None else 0
    return Forgotten(rebuilt, removed)


def forget_author(
    author: str, document_ids: Sequence[str], index: VectorIndex | None, cache: EmbeddingCache | None
) -> Forgotten:
    """Remove an author's whole index, and the cached vectors of all documents that the author ever had."""
    if index is not None:
        index.drop_author(author)
    removed = cache.forget(document_ids) if cache is not None else 0
    return Forgotten(index is not None, removed)


def forget_entries(folder: Path, traces: Iterable[str]) -> list[Path]:
    """Delete each file or folder right under `folder` that names a document anywhere in it; returns what went.

    `traces` are what names the documents: ids, addresses. Every output of a step that is derived from documents
    names them (vectors do so in their manifest), so `artifacts/content` loses whatever was made of them, and the
    next run makes it anew without them. An entry is renamed before it is deleted: killed at any point, none is left
    half there under its name, and the next call deletes the rest.
    """
    needles = [trace.encode() for trace in traces if trace]
    if not folder.is_dir():
        return []
    for left in folder.glob(f"{GOING}*"):
        _delete(left)
    gone = [entry for entry in sorted(folder.iterdir()) if needles and _holds(entry, needles)]
    for entry in gone:
        going = entry.with_name(f"{GOING}{entry.name}")
        entry.rename(going)
        _delete(going)
    return gone


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _holds(entry: Path, needles: Sequence[bytes]) -> bool:
    files = [entry] if entry.is_file() else [one for one in entry.rglob("*") if one.is_file()]
    return any(_file_holds(file, needles) for file in files)


def _file_holds(file: Path, needles: Sequence[bytes]) -> bool:
    """Whether a file holds one of the needles, read block by block; blocks overlap by the longest needle."""
    keep = max(len(needle) for needle in needles) - 1
    tail = b""
    with file.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            content = tail + block
            if any(needle in content for needle in needles):
                return True
            tail = content[len(content) - keep :] if keep else b""
    return False
