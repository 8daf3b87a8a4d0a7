"""The default recipe under load: retrieval over many chunks, its share of the time, and what bounds the
whole."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import build_request, hammer

QUERIES = 300
WORDS = (
    "tide gauge harbour ledger stone winter lamp backup disk clock margin rope signal north drift engine paper "
    "letter river bridge frost garden oil glass market night copper salt valley field record number storm quiet "
    "window ladder kettle boat weather station wire battery line tower road school bread coast island map"
).split()


def measure_default_recipe(chunks: int, seconds: float) -> dict[str, float | int | str]:
    """`retrieval_p95_ms` with the query's embedding, and the throughput of the whole default recipe."""
    from benchmarks.serving import NO_LIMIT, _process
    from llm_twin.documents import Author
    from llm_twin.embedding import load_encoder
    from llm_twin.serving.answering import Asked
    from llm_twin.serving.processes import free_port, run_server, write_json
    from llm_twin.serving.retrieving import RememberingEncoder, make_retrieve
    from llm_twin.serving.twins import ServerConfig, Twin
    from llm_twin.stores.vectors import VectorIndex

    twin = Twin(name="bench-writer", author=Author(id="bench-writer", name="A Writer"))
    shuffled = random.Random(4)
    with tempfile.TemporaryDirectory(prefix="bench-retrieval-") as name:
        folder = Path(name)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        arguments = ["--path", str(folder / "vectors"), "--port", str(port), "--exit-with-parent"]
        with (
            run_server("llm_twin.local.vector_server", arguments, f"{url}/collections", folder / "vectors.log"),
            VectorIndex.connect(url) as index,
        ):
            encoder = load_encoder(twin.embedder)
            _fill(index, encoder, chunks)
            retrieve = make_retrieve(index, RememberingEncoder(encoder))
            times = []
            for _ in range(QUERIES):
                question = " ".join(shuffled.choices(WORDS, k=9)) + "?"
                begun = time.perf_counter()
                found = retrieve(Asked(question), twin)
                times.append(1000 * (time.perf_counter() - begun))
                assert found, "the index answers nothing"
            times = sorted(times[20:])
            p50, p95 = statistics.median(times), times[int(0.95 * len(times))]
            print(f"\nretrieval over {chunks:,} chunks, query embedding included: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
            with _process("benchmarks.fast_predictor", folder, []) as predictor:
                config = ServerConfig(twins=[twin], predictor=f"http://127.0.0.1:{predictor}/v1", vectors=url)
                write_json(folder / "server.json", config.model_dump(mode="json"))
                port = free_port()
                arguments = ["--config", str(folder / "server.json"), "--port", str(port), *NO_LIMIT]
                ready = f"http://127.0.0.1:{port}/readyz"
                with run_server("llm_twin.serving.transformer", arguments, ready, folder / "t.log"):
                    figures = _whole(port, twin.name, shuffled, seconds)
    return {"retrieval_p50_ms": round(p50, 1), "retrieval_p95_ms": round(p95, 1), **figures}


def _whole(port: int, name: str, shuffled: random.Random, seconds: float) -> dict[str, float | int | str]:
    """Sixteen clients, each asking a question of its own, again and again."""

    def request() -> bytes:
        question = " ".join(shuffled.choices(WORDS, k=9)) + "?"
        body = {"model": name, "messages": [{"role": "user", "content": question}]}
        return build_request("/openai/v1/chat/completions", body)

    async def measure() -> list:
        return await asyncio.gather(*(hammer(port, request(), 1, seconds) for _ in range(16)))

    loads = asyncio.run(measure())
    rate = sum(load.per_second for load in loads)
    p50 = 1000 * statistics.median(x for load in loads for x in load.latencies)
    print(f"the whole default recipe, 16 clients: {rate:.1f} requests/s, p50 {p50:.0f} ms")
    print("  bounded by the encoder and the support check, which run in threads of one process: add replicas")
    return {"default_recipe_per_second_c16": round(rate, 1), "default_recipe_p50_ms": round(p50)}


def _fill(index: object, encoder: object, count: int) -> None:
    """An index of `count` chunks of made-up sentences; vectors are random mixtures of a few embedded ones,
    since embedding all of them is not what is measured."""
    import numpy as np

    from llm_twin.documents import Chunk, stable_id
    from llm_twin.features.indexing import describe_layout
    from llm_twin.features.sparse import weigh_document
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.stores.vectors import Entry, VectorIndex, describe_state

    assert isinstance(index, VectorIndex)
    shuffled, numbers = random.Random(2), np.random.default_rng(2)
    anchors = encoder.encode([" ".join(shuffled.choices(WORDS, k=40)) for _ in range(64)])  # type: ignore[attr-defined]

    def make(i: int) -> Entry:
        text = " ".join(" ".join(shuffled.choices(WORDS, k=12)).capitalize() + "." for _ in range(6))
        chunk = Chunk(
            chunk_id=f"00000000-0000-4000-8000-{i:012d}",
            document_id=stable_id("bench", str(i // 8)),
            revision_id="1",
            author="bench-writer",
            platform="site",
            kind="article",
            url=f"https://writer.example/{i // 8}",
            title=f"Piece {i // 8}",
            position=i % 8,
            start=0,
            end=len(text),
            text=text,
        )
        mixed = anchors[numbers.integers(64)] + 0.8 * anchors[numbers.integers(64)] + 0.03 * numbers.normal(size=384)
        return Entry(chunk, (mixed / np.linalg.norm(mixed)).astype(np.float32).tolist(), weigh_document(text))

    layout = describe_layout(FeaturesRecipe(), encoder.fingerprint, encoder.dimension)  # type: ignore[attr-defined]
    collection = index.ensure_collection("bench-writer", layout)
    for batch in _in_batches(range(count), 8 * 32):
        documents = []
        for i in range(0, len(batch), 8):
            entries = [make(j) for j in batch[i : i + 8]]
            state = describe_state(entries[0].chunk.document_id, [entry.chunk for entry in entries])
            documents.append((state, entries))
        index.write_documents(collection, documents)
    index.promote("bench-writer", collection)


def _in_batches(items: range, size: int) -> Iterator[range]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
