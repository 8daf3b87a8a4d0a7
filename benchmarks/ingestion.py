"""Throughput of clean → chunk → embed → index, beside the bare encoder and LlamaIndex's IngestionPipeline."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from llm_twin.documents import Author, Document, stable_id
from llm_twin.embedding import Encoder, load_encoder
from llm_twin.embedding.loading import find_folder
from llm_twin.errors import InputError, ModelError
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.cleaning import clean_documents
from llm_twin.features.sync import sync_author
from llm_twin.features.vectors import embedding_text
from llm_twin.local.services import free_port, start_process, stop_process, wait_for_port
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import VectorIndex

DESCRIPTION = "chunks a second from Markdown to the index, as ratios to the bare encoder and to LlamaIndex"
AUTHOR = "benchmark"
PEER = Path(__file__).with_name("llamaindex_peer.py")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --documents, --rounds, --peer-python, --precision."""
    parser.add_argument("--data", type=Path, required=True, help="a folder of Markdown")
    parser.add_argument("--documents", type=int, default=20, help="how many of its files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        help="an interpreter with llama-index-core and llama-index-embeddings-huggingface",
    )


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Interleaved rounds of the three; the figures are medians of the rounds' ratios."""
    documents = read_folder(args.data, args.documents)
    recipe = FeaturesRecipe(precision=args.precision)
    encoder = load_encoder(recipe.embedder, None, recipe.precision, recipe.batch_size)
    chunks = list(chunk_documents(clean_documents(documents, recipe), recipe, encoder))
    texts = [embedding_text(chunk, recipe.context) for chunk in chunks]
    characters = sum(len(document.text) for document in documents)
    print(f"{len(documents)} documents, {characters:,} characters, {len(chunks)} chunks, {encoder.precision}")
    encoder.encode(texts[:8])
    peer, peer_chunks, peer_tokens = start_peer(args.peer_python, documents, recipe, encoder), 0, 0.0
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="twin-benchmark-") as folder, serve(Path(folder)) as url:
        print(f"{'round':<6}{'ours':>9}{'encoder':>9}{'LlamaIndex':>12}   seconds")
        for number in range(args.rounds):
            row = {"ours": time_ours(documents, recipe, encoder, url)}
            row["encoder"] = time_call(lambda: encoder.encode(texts))
            if peer is not None:
                answer = ask_peer(peer)
                row["peer"], peer_chunks, peer_tokens = answer["seconds"], int(answer["nodes"]), answer["tokens"]
            rows.append(row)
            print(f"{number:<6}{row['ours']:>9.2f}{row['encoder']:>9.2f}{row.get('peer', 0):>12.2f}", flush=True)
    figures: dict[str, float | int | str] = {
        "documents": len(documents),
        "chunks": len(chunks),
        "tokens_per_chunk": round(count_mean(encoder, texts), 1),
        "own_tokens_per_chunk": round(count_mean(encoder, [chunk.text for chunk in chunks]), 1),
        "precision": encoder.precision,
        "chunks_per_second": round(len(chunks) / statistics.median(row["ours"] for row in rows), 1),
        "ratio_to_encoder": round(statistics.median(row["encoder"] / row["ours"] for row in rows), 3),
    }
    if peer is None:
        print("LlamaIndex is not installed in --peer-python: no ratio to it")
        figures["ratio_to_llamaindex"] = "not measured: LlamaIndex is not installed"
    else:
        ratio = statistics.median(row["peer"] / row["ours"] for row in rows)
        figures["ratio_to_llamaindex"] = round(ratio, 3)
        # Its chunks are fewer, as it joins sections, and embedded without headings.
        figures["llamaindex_chunks"] = peer_chunks
        figures["llamaindex_tokens_per_chunk"] = round(peer_tokens, 1)
        figures["ratio_in_chunks_a_second"] = round(ratio * len(chunks) / peer_chunks, 3)
        stop_peer(peer)
    return figures


def count_mean(encoder: Encoder, texts: list[str]) -> float:
    """Mean tokens of a text as the model reads it: special tokens too, and no more than it reads."""
    return statistics.mean(min(len(encoder.tokenizer.encode(text)), encoder.max_tokens) for text in texts)


def read_folder(folder: Path, limit: int) -> list[Document]:
    """Markdown files as documents, in the order of their paths."""
    files = sorted(folder.rglob("*.md"))[:limit]
    if not files:
        raise InputError(f"{folder} holds no Markdown files", "give --data a folder of *.md")
    documents = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        documents.append(
            Document(
                document_id=stable_id(AUTHOR, str(file)),
                revision_id=stable_id(text),
                author=AUTHOR,
                platform="folder",
                kind="article",
                url=file.as_posix(),
                title=file.stem,
                text=text,
            )
        )
    return documents


class Folder:
    """Documents in memory, as a sync asks a warehouse for them: the peer has them in memory, too."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = {document.document_id: document for document in documents}

    def get_author(self, author: str) -> Author:
        """The benchmark's author."""
        return Author(id=author, name="A Writer")

    def current_states(self, author: str) -> dict[str, dict[str, str]]:
        """Document → what names its content."""
        return {one.document_id: {"content": one.revision_id} for one in self.documents.values()}

    def current_documents(self, author: str) -> Iterator[Document]:
        """All of them."""
        return iter(self.documents.values())

    def read_documents(self, ids: Sequence[str]) -> list[Document]:
        """Some of them."""
        return [self.documents[one] for one in ids]


def time_ours(documents: list[Document], recipe: FeaturesRecipe, encoder: Encoder, url: str) -> float:
    """Seconds of a first sync, from documents to an index that holds them; no cache of vectors, a new collection."""
    with VectorIndex.connect(url) as index:
        index.drop_author(AUTHOR)
        begun = time.perf_counter()
        sync_author(Folder(documents), index, encoder, recipe, AUTHOR)  # type: ignore[arg-type]
        return time.perf_counter() - begun


def time_call(work) -> float:  # type: ignore[no-untyped-def]
    """Seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def start_peer(
    python: str, documents: list[Document], recipe: FeaturesRecipe, encoder: Encoder
) -> subprocess.Popen[str] | None:
    """LlamaIndex in a process of its own, its model loaded and warm; None where it is not installed."""
    # This folder must not be on the peer's path: it has a module `datasets`, which the peer's libraries import.
    command, environment = [python, "-P"], {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    probe = subprocess.run([*command, "-c", "import llama_index.core"], env=environment, capture_output=True)
    if probe.returncode:
        return None
    process = subprocess.Popen(
        [*command, str(PEER)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    start = {
        "model": str(find_folder(recipe.embedder)),
        "max_tokens": recipe.max_tokens,
        "longest": encoder.max_tokens,
        "texts": [document.text for document in documents],
    }
    process.stdin.write(json.dumps(start) + "\n")
    process.stdin.flush()
    if not process.stdout.readline():
        raise ModelError("LlamaIndex ended before it was ready", "see its error above")
    return process


def ask_peer(process: subprocess.Popen[str]) -> dict[str, float]:
    """One run of the peer over the same documents: its seconds, and how many nodes it made of them."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("run\n")
    process.stdin.flush()
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer


def stop_peer(process: subprocess.Popen[str]) -> None:
    """End the peer by closing its input."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)


class serve(AbstractContextManager[str]):
    """A vector server over a folder, for as long as the block lasts; gives its URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> str:
        port, log = free_port(), self.folder / "server.log"
        command = [sys.executable, "-m", "llm_twin.local.vector_server", "--path", str(self.folder / "vectors")]
        self.process = start_process([*command, "--port", str(port)], log, dict(os.environ))
        wait_for_port(self.process, port, "vectors", log)
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *error: object) -> None:
        stop_process(self.process)
