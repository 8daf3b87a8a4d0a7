"""The default recipe under load: retrieval over many chunks, its share of the time, and what bounds the
whole."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson

from benchmarks.load import Load, build_request, read_response

QUERIES = 300
WORDS = (
    "tide gauge harbour ledger stone winter lamp backup disk clock margin rope signal north drift engine paper "
    "letter river bridge frost garden oil glass market night copper salt valley field record number storm quiet "
    "window ladder kettle boat weather station wire battery line tower road school bread coast island map"
).split()


def measure_default_recipe(chunks: int, seconds: float, judged_within: float) -> dict[str, float | int | str]:
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
            with _process("benchmarks.fast_predictor", folder, ["quote"]) as predictor:
                config = ServerConfig(
                    twins=[twin], predictor=f"http://127.0.0.1:{predictor}/v1", vectors=url, state_dir=folder / "state"
                )
                write_json(folder / "server.json", config.model_dump(mode="json"))
                port = free_port()
                arguments = ["--config", str(folder / "server.json"), "--port", str(port), *NO_LIMIT]
                ready = f"http://127.0.0.1:{port}/readyz"
                with run_server("llm_twin.serving.transformer", arguments, ready, folder / "t.log"):
                    figures = _whole(port, twin.name, shuffled, seconds, folder / "state", chunks, judged_within)
    return {"retrieval_p50_ms": round(p50, 1), "retrieval_p95_ms": round(p95, 1), **figures}


def _whole(
    port: int, name: str, shuffled: random.Random, seconds: float, state: Path, chunks: int, judged_within: float
) -> dict[str, float | int | str]:
    """Sixteen clients, each question new: while the passages are still being judged, and when all are."""
    fresh = _ask(port, name, shuffled, seconds)
    begun = time.monotonic()
    while (judged := _count_judged(state)) < 0.99 * chunks and time.monotonic() - begun < judged_within:
        time.sleep(1)
    if judged < 0.99 * chunks:
        print(f"  after {judged_within:.0f} s {judged:,} of {chunks:,} passages were judged: the row below is between")
    _ask(port, name, shuffled, seconds)  # sentences' vectors come to be remembered
    known = _ask(port, name, shuffled, seconds)
    print(f"{'the whole default recipe, 16 clients':<44}{'requests/s':>12}{'p50 ms':>8}{'refused':>9}")
    for row, load in (("a server that has just started", fresh), ("all passages judged", known)):
        print(f"  {row:<42}{load.per_second:>12.1f}{load.percentile(0.5):>8.0f}{load.refused:>9}")
    one = _ask(port, name, shuffled, seconds, clients=1, show=True)
    return {
        "default_recipe_per_second_c16": round(known.per_second, 1),
        "default_recipe_p50_ms": round(known.percentile(0.5)),
        "default_recipe_fresh_per_second_c16": round(fresh.per_second, 1),
        "default_recipe_alone_p50_ms": round(one.percentile(0.5)),
        "default_recipe_refused": fresh.refused + known.refused,
    }


def _ask(port: int, name: str, shuffled: random.Random, seconds: float, clients: int = 16, show: bool = False) -> Load:
    """Load by `clients`, no question asked twice; `show` prints where the time of an answer goes."""
    load, hops = Load(), defaultdict(list)
    until = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        while (begun := time.perf_counter()) < until:
            question = " ".join(shuffled.choices(WORDS, k=9)) + "?"
            body = {"model": name, "messages": [{"role": "user", "content": question}]}
            writer.write(build_request("/openai/v1/chat/completions", body))
            status, answer = await read_response(reader)
            load.statuses[status] = load.statuses.get(status, 0) + 1
            if status == 200:
                load.latencies.append(time.perf_counter() - begun)
                for hop, spent in orjson.loads(answer)["twin"]["seconds"].items():
                    hops[hop].append(spent)
        writer.close()

    async def measure() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    begun = time.perf_counter()
    asyncio.run(measure())
    load.seconds = time.perf_counter() - begun
    if show:
        shares = ", ".join(f"{hop} {1000 * statistics.median(spent):.1f}" for hop, spent in hops.items())
        print(f"  bounded by (one client, median ms): {shares}")
    return load


def _count_judged(state: Path) -> int:
    """How many passages the server's guard has judged."""
    files = list(state.glob("verdicts-*.db"))
    if not files:
        return 0
    with closing(sqlite3.connect(f"file:{files[0]}?mode=ro", uri=True)) as kept:
        return int(kept.execute("SELECT count(*) FROM found").fetchone()[0])


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
