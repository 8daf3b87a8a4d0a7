"""A hundred thousand chunks in the loopback vector server: load time, memory, and latency through qdrant-client."""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
import psutil

from benchmarks.ingestion import serve
from llm_twin.documents import Chunk
from llm_twin.progress import track
from llm_twin.stores.vectors import Ask, Entry, Layout, VectorIndex, describe_state

DESCRIPTION = "load, memory and query latency of the local index at 100,000 chunks of random vectors"
AUTHOR, DIMENSION, CHUNKS_PER_DOCUMENT, TERMS = "benchmark", 384, 20, 60
VOCABULARY = 50_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--chunks, --queries."""
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Load, wait for the merge, ask; a hybrid query is one dense and one sparse in one request."""
    generator = np.random.default_rng(20)
    with tempfile.TemporaryDirectory(prefix="twin-benchmark-") as folder:
        server = serve(Path(folder))
        with server as url, VectorIndex.connect(url) as index:
            collection = index.ensure_collection(AUTHOR, Layout("random", DIMENSION, "scale"))
            batches = range(0, args.chunks, CHUNKS_PER_DOCUMENT * 25)
            load = 0.0
            for start in track(batches, "loading batches of 500 chunks", len(batches)):
                documents = [
                    make_document(generator, start + offset)
                    for offset in range(0, CHUNKS_PER_DOCUMENT * 25, CHUNKS_PER_DOCUMENT)
                ]
                begun = time.perf_counter()
                index.write_documents(collection, documents, ())
                load += time.perf_counter() - begun
            index.promote(AUTHOR, collection)
            time.sleep(3)  # the server merges once it has been quiet for a second
            begun = time.perf_counter()
            index.client.get_collections()
            merge_wait = time.perf_counter() - begun
            times = []
            for _ in range(args.queries):
                terms = np.unique(generator.zipf(1.3, 8) % VOCABULARY).astype(int).tolist()
                asks = [
                    Ask(100, dense=generator.normal(size=DIMENSION).astype(np.float32)),
                    Ask(100, sparse=(terms, [1.0] * len(terms))),
                ]
                begun = time.perf_counter()
                index.rank(AUTHOR, asks)
                times.append((time.perf_counter() - begun) * 1000)
            memory = psutil.Process(server.process.pid).memory_info().rss / 2**20
            count = index.count(AUTHOR)
    p50, p95 = (float(np.percentile(times, share)) for share in (50, 95))
    print(f"{count:,} chunks: load {load:.1f} s, {memory:.0f} MiB, hybrid query p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    return {
        "chunks": count,
        "load_seconds": round(load, 1),
        "merge_wait_seconds": round(merge_wait, 1),
        "server_mb": round(memory),
        "p50_ms": round(p50, 2),
        "p95_ms": round(p95, 2),
    }


def make_document(generator: np.random.Generator, number: int) -> tuple[str, list[Entry]]:
    """A document of random vectors, term weights and a text of the usual length."""
    vectors = generator.normal(size=(CHUNKS_PER_DOCUMENT, DIMENSION)).astype(np.float32)
    entries = []
    for position in range(CHUNKS_PER_DOCUMENT):
        terms = np.unique(generator.zipf(1.3, TERMS) % VOCABULARY).astype(int).tolist()
        chunk = Chunk(
            chunk_id=str(uuid.UUID(int=number + position + 1)), document_id=f"d{number}", revision_id="r",
            author=AUTHOR, platform="site", kind="article", url=f"https://example.org/{number}",
            position=position, start=0, end=1000, text="words of a passage " * 50,
        )  # fmt: skip
        entries.append(Entry(chunk, vectors[position], (terms, [1.0] * len(terms))))
    return describe_state(f"d{number}", [entry.chunk for entry in entries]), entries
