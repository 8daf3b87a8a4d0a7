"""Memory of the features steps while documents stream through: clean, chunk, embed, each to a file, as in a run."""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.serving_retrieval import WORDS
from llm_twin.documents import Chunk, CleanDocument, Document, read_jsonl, stable_id, write_jsonl
from llm_twin.embedding import load_encoder
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.cleaning import clean_documents
from llm_twin.features.vectors import write_vectors
from llm_twin.recipes import FeaturesRecipe

DESCRIPTION = "memory of clean, chunk and embed as documents stream through: the second half beside the first"
AUTHOR, PARAGRAPHS, PARAGRAPH_WORDS = "benchmark", 40, 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--documents."""
    parser.add_argument("--documents", type=int, default=1000, help="of 2,400 words each")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Peaks of each step's halves, in MB. Vectors are random: what the encoder holds does not grow."""
    recipe, numbers = FeaturesRecipe(), np.random.default_rng(20)
    encoder = load_encoder(recipe.embedder, None, recipe.precision, recipe.batch_size)
    encoder.embed = lambda texts: numbers.normal(size=(len(texts), encoder.dimension)).astype(np.float32)
    figures: dict[str, float | int | str] = {"documents": args.documents}
    with tempfile.TemporaryDirectory(prefix="twin-benchmark-") as name:
        folder = Path(name)
        list(chunk_documents(clean_documents(make_documents(20), recipe), recipe))  # what is loaded once
        meter = Meter()
        write_jsonl(folder / "documents", clean_documents(meter.watch(make_documents(args.documents)), recipe))
        figures |= meter.halves("clean")
        clean = meter.watch(read_jsonl(folder / "documents", CleanDocument))
        write_jsonl(folder / "chunks", chunk_documents(clean, recipe))
        figures |= meter.halves("chunk")
        figures["chunks"] = write_vectors(
            folder / "vectors", meter.watch(read_jsonl(folder / "chunks", Chunk)), encoder, recipe
        )
        figures |= meter.halves("embed")
    return figures


class Meter:
    """Notes the process's memory at each item that is read."""

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.megabytes: list[float] = []

    def watch(self, items: Iterator) -> Iterator:  # type: ignore[type-arg]
        """The same items."""
        self.megabytes = []
        for item in items:
            self.megabytes.append(self.process.memory_info().rss / 2**20)
            yield item

    def halves(self, step: str) -> dict[str, int]:
        """Peaks of the two halves."""
        self.megabytes.append(self.process.memory_info().rss / 2**20)
        half = len(self.megabytes) // 2
        early, late = max(self.megabytes[:half]), max(self.megabytes[half:])
        print(f"{step:<6} {early:6.0f} MB in the first half, {late:6.0f} in the second", flush=True)
        return {f"{step}_first_half_mb": round(early), f"{step}_second_half_mb": round(late)}


def make_documents(count: int) -> Iterator[Document]:
    """Documents of words drawn at random, no two alike."""
    for number in range(count):
        drawn = random.Random(number)
        paragraphs = [
            " ".join(f"{drawn.choice(WORDS)}{drawn.randrange(400)}" for _ in range(PARAGRAPH_WORDS)) + "."
            for _ in range(PARAGRAPHS)
        ]
        text = "\n\n".join(paragraphs)
        url = f"https://writer.example/{number}"
        yield Document(
            document_id=stable_id(AUTHOR, url), revision_id=stable_id(text), author=AUTHOR, platform="site",
            kind="article", url=url, title=f"Piece {number}", language="en", text=text,
        )  # fmt: skip
