"""Retrieval quality of the default recipe, through cleaning, chunking, the vector server and search."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.known_titles import read_handbook, run_known_items
from llm_twin.documents import CleanDocument, Document, stable_id
from llm_twin.embedding import Encoder, load_encoder
from llm_twin.errors import InputError
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.cleaning import clean_document
from llm_twin.features.indexing import index_folder
from llm_twin.features.vectors import write_vectors
from llm_twin.local.services import free_port, start_process, stop_process, wait_for_port
from llm_twin.progress import track
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.recipes import FeaturesRecipe
from llm_twin.retrieval.records import Hit
from llm_twin.retrieval.search import search
from llm_twin.stores.vectors import VectorIndex

DESCRIPTION = "nDCG@10 and recall@10 on a BEIR folder, or known-item MRR@10 on a handbook export"
AUTHOR = "benchmark"
DEEP = {"top_k": 50}  # chunks, so that ten documents are among them
DENSE = {"fusion": "dense", "feedback": False, "neighbour_weight": 0.0}
VARIANTS: dict[str, dict] = {
    "dense": DENSE,
    "bm25": DENSE | {"fusion": "sparse"},
    "rrf": DENSE | {"fusion": "rrf"},
    "weighted": DENSE | {"fusion": "weighted"},
    "default": {},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --cache."""
    parser.add_argument("--data", type=Path, required=True, help="corpus.jsonl, queries.jsonl, qrels/test.tsv; or "
                        "ArticleDocument.json")  # fmt: skip
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings between runs")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Index the corpus with the default recipe, ask all queries, print a table."""
    if (args.data / "ArticleDocument.json").is_file():
        documents, titles = read_handbook(args.data)
        with indexed(documents, FeaturesRecipe(context="none", mask_pii=False), args.cache) as (index, encoder):
            return run_known_items(index, encoder, AUTHOR, titles)
    if not (args.data / "corpus.jsonl").is_file():
        raise InputError(f"{args.data} holds neither corpus.jsonl nor ArticleDocument.json", "give --data a folder")
    queries, judgements = read_queries(args.data)
    with indexed(read_corpus(args.data / "corpus.jsonl"), FeaturesRecipe(mask_pii=False), args.cache) as (
        index,
        encoder,
    ):
        return measure(index, encoder, queries, judgements)


def measure(
    index: VectorIndex, encoder: Encoder, queries: dict[str, str], judgements: dict[str, dict[str, int]]
) -> dict[str, float | int | str]:
    """Figures of every variant; the default recipe's are the headline."""
    figures: dict[str, float | int | str] = {"queries": len(judgements), "chunks": index.count(AUTHOR)}
    print(f"{'variant':<10} {'nDCG@10':>8} {'recall@10':>9} {'ms a query':>11}")
    for name, changes in VARIANTS.items():
        recipe = RetrievalRecipe(**{**DEEP, **changes})
        scores, recalls, times = [], [], []
        for query_id, relevant in track(judgements.items(), f"queries, {name}", len(judgements), every_seconds=10):
            begun = time.perf_counter()
            found = rank_documents(search(queries[query_id], AUTHOR, index, encoder, recipe).hits)
            times.append(time.perf_counter() - begun)
            scores.append(ndcg(found, relevant))
            good = {document for document, grade in relevant.items() if grade > 0}
            recalls.append(len(good & set(found[:10])) / len(good))
        row = (statistics.fmean(scores), statistics.fmean(recalls), statistics.median(times) * 1000)
        print(f"{name:<10} {row[0]:>8.4f} {row[1]:>9.4f} {row[2]:>11.1f}", flush=True)
        prefix = "" if name == "default" else f"{name}_"
        figures[f"{prefix}ndcg_at_10"] = round(row[0], 4)
        figures[f"{prefix}recall_at_10"] = round(row[1], 4)
        if name == "default":
            figures["median_ms"] = round(row[2], 1)
    return figures


def rank_documents(hits: list[Hit]) -> list[str]:
    """Documents by their best chunk."""
    return list(dict.fromkeys(hit.chunk.url for hit in hits))


def ndcg(found: list[str], relevant: dict[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain with gain 2^grade - 1 (Burges et al. 2005)."""
    gain = sum((2 ** relevant.get(one, 0) - 1) / math.log2(at + 2) for at, one in enumerate(found[:depth]))
    ideal = sorted(relevant.values(), reverse=True)[:depth]
    best = sum((2**grade - 1) / math.log2(at + 2) for at, grade in enumerate(ideal))
    return gain / best if best else 0.0


def read_corpus(path: Path) -> Iterator[Document]:
    """BEIR's documents; the id serves as address."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield Document(
                document_id=stable_id(AUTHOR, row["_id"]),
                revision_id=stable_id(row["text"]),
                author=AUTHOR,
                platform="folder",
                kind="article",
                url=row["_id"],
                title=row.get("title", ""),
                language="en",
                text=row["text"],
            )


def read_queries(data: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Queries by id, and graded judgements of those that have any."""
    with (data / "queries.jsonl").open(encoding="utf-8") as file:
        queries = {row["_id"]: row["text"] for row in map(json.loads, file)}
    judgements: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (data / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        judgements[query][document] = int(grade)
    return queries, {query: rows for query, rows in judgements.items() if any(g > 0 for g in rows.values())}


@contextmanager
def indexed(
    documents: Iterator[Document], recipe: FeaturesRecipe, cache: Path | None
) -> Iterator[tuple[VectorIndex, Encoder]]:
    """Clean, chunk, embed and index documents into a vector server of their own."""
    encoder = load_encoder(recipe.embedder, cache, recipe.precision, recipe.batch_size)
    clean = (one for one in (clean_document(document, recipe)[0] for document in documents) if one is not None)
    with tempfile.TemporaryDirectory(prefix="twin-benchmark-") as folder:
        root, port = Path(folder), free_port()
        command = ["-m", "llm_twin.local.vector_server", "--path", str(root / "vectors"), "--port", str(port)]
        process = start_process([sys.executable, *command, "--exit-with-parent"], root / "server.log")
        try:
            wait_for_port(process, port, "vectors", root / "server.log")
            chunks = list(chunk_documents(_by_document(clean), recipe))
            write_vectors(root / "embedded", chunks, encoder, recipe)
            with VectorIndex.connect(f"http://127.0.0.1:{port}") as index:
                index_folder(AUTHOR, chunks, root / "embedded", index, recipe)
                yield index, encoder
        finally:
            stop_process(process)


def _by_document(documents: Iterator[CleanDocument]) -> list[CleanDocument]:
    return sorted(documents, key=lambda document: document.document_id)
