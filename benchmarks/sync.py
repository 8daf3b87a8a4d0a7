"""One document of a thousand changes: how long until the index shows it, and how many chunks are embedded."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.ingestion import serve
from benchmarks.serving_retrieval import WORDS
from llm_twin.documents import Author, Document, stable_id
from llm_twin.embedding import load_encoder
from llm_twin.features.sync import Synchroniser
from llm_twin.local.services import free_port, start_process, stop_process, wait_for_port
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import VectorIndex
from llm_twin.stores.warehouse import Warehouse

DESCRIPTION = "one document changed in 1,000: seconds until it is indexed, and chunks embedded"
AUTHOR, SECTIONS, SECTION_WORDS = "benchmark", 21, 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--documents, --changes."""
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=5)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Fill, then change one section of one document after the other. The vectors of the first fill are random:
    embedding them is not what is measured; those of the changes are the encoder's."""
    recipe = FeaturesRecipe()
    numbers = np.random.default_rng(20)
    with tempfile.TemporaryDirectory(prefix="twin-benchmark-") as name:
        folder, port = Path(name), free_port()
        encoder = load_encoder(recipe.embedder, folder / "cache", recipe.precision, recipe.batch_size)
        embed = encoder.embed
        encoder.encode(["warm up"])
        command = [sys.executable, "-m", "nx_27017.nx_27017", "--db", str(folder / "w.db"), "--host", "127.0.0.1"]
        files = ["--pid-file", str(folder / "nx.pid"), "--log-file", str(folder / "nx.log")]
        process = start_process([*command, "--port", str(port), *files], folder / "out.log")
        try:
            wait_for_port(process, port, "warehouse", folder / "nx.log")
            url = f"mongodb://127.0.0.1:{port}/?directConnection=true"
            with (
                serve(folder) as vectors,
                VectorIndex.connect(vectors) as index,
                Warehouse.connect(url, "b") as warehouse,
            ):
                warehouse.ensure_schema()
                warehouse.put_author(Author(id=AUTHOR, name="A Writer"))
                for number in range(args.documents):
                    put(warehouse, number, changed=0)
                synchroniser = Synchroniser(warehouse, index, encoder, recipe, AUTHOR)
                memory: list[float] = []

                def draw(texts: list[str]) -> np.ndarray:
                    memory.append(psutil.Process().memory_info().rss / 2**20)
                    return numbers.normal(size=(len(texts), encoder.dimension)).astype(np.float32)

                encoder.embed = draw
                begun = time.perf_counter()
                synchroniser.look()
                first = time.perf_counter() - begun
                encoder.embed = embed
                half = len(memory) // 2
                early, late = max(memory[:half]), max(memory[half:])
                print(f"memory of this process: {early:.0f} MB in the first half of it, {late:.0f} in the second")
                chunks = index.count(AUTHOR)
                print(f"{args.documents:,} documents, {chunks:,} chunks: first look {first:.1f} s without embedding")
                seconds, embedded = [], []
                for change in range(1, args.changes + 1):
                    put(warehouse, change, changed=change)
                    before, begun = encoder.counts["embedded"], time.perf_counter()
                    done = synchroniser.look()
                    seconds.append(time.perf_counter() - begun)
                    embedded.append(encoder.counts["embedded"] - before)
                    print(
                        f"change {change}: {seconds[-1]:.3f} s, {embedded[-1]} of {done.chunks_written} chunks embedded"
                    )
        finally:
            stop_process(process)
    return {
        "documents": args.documents,
        "chunks": chunks,
        "change_seconds": round(statistics.median(seconds), 3),
        "worst_change_seconds": round(max(seconds), 3),
        "chunks_embedded": max(embedded),
        "first_look_seconds": round(first, 1),
        "first_half_peak_mb": round(early),
        "second_half_peak_mb": round(late),
    }


def put(warehouse: Warehouse, number: int, changed: int) -> None:
    """A document of sections, each a chunk; `changed` above 0 rewrites the second."""
    sections = []
    for at in range(SECTIONS):
        shuffled = random.Random(f"{number}-{at}-{changed if at == 1 else 0}")
        words = (f"{shuffled.choice(WORDS)}{shuffled.randrange(400)}" for _ in range(SECTION_WORDS // 3))
        sections.append(f"## Section {at}\n\n" + " ".join(words) + ".")
    text = "\n\n".join(sections)
    url = f"https://writer.example/{number}"
    document = Document(
        document_id=stable_id(AUTHOR, url), revision_id=stable_id(text), author=AUTHOR, platform="site",
        kind="article", url=url, title=f"Piece {number}", language="en", text=text,
    )  # fmt: skip
    warehouse.write_revision(document, text.encode())
