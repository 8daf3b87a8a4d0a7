"""Where retrieval's defaults come from: settings fitted to known-item queries made from several corpora's own text."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from benchmarks.ingestion import read_folder
from benchmarks.known_titles import read_handbook
from benchmarks.retrieval import AUTHOR, indexed, read_corpus
from llm_twin.digests import digest_json
from llm_twin.documents import Document
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.recipes import FeaturesRecipe
from llm_twin.retrieval.known_items import make_known_items
from llm_twin.retrieval.tuning import GRID, fit, measure_gains

DESCRIPTION = "fit retrieval's settings to known-item queries made from the text of several corpora"
START = {"fusion": "weighted", "alpha": 0.5, "feedback": False, "neighbour_weight": 0.0}
# Short chunks, so that abstracts have several. No title before them: a document's chunks all share it.
FEATURES = FeaturesRecipe(mask_pii=False, chunker="sentences", max_tokens=100, context="none")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --queries, --documents, --cache."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders: corpus.jsonl (no judgement is "
                        "read), ArticleDocument.json, or Markdown")  # fmt: skip
    parser.add_argument("--queries", type=int, default=60, help="of each corpus")
    parser.add_argument("--documents", type=int, default=1400, help="of each corpus, at most")
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings between runs")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Index each corpus, make its queries, fit one set of settings to all of them; every query counts the same."""
    with ExitStack() as stack:
        places = []
        for folder in args.data:
            documents = islice(read_documents(folder, args.documents), args.documents)
            index, encoder = stack.enter_context(indexed(documents, FEATURES, args.cache))
            encoder.encode_query = functools.cache(encoder.encode_query)  # type: ignore[method-assign]  # asked often
            items = make_known_items(index.iterate_chunks(AUTHOR), args.queries)
            print(f"{folder.name}: {index.count(AUTHOR):,} chunks, {len(items)} queries", flush=True)
            places.append((items, index, encoder))

        known = Known(args.cache, [item.query for items, *_ in places for item in items])

        def measure(recipe: RetrievalRecipe) -> list[float]:
            key = recipe.model_dump_json()
            if key not in known.values:
                known.add(
                    key, [one for items, *place in places for one in measure_gains(items, AUTHOR, *place, recipe)]
                )
            return known.values[key]

        found = fit(measure, RetrievalRecipe(**START))
    for step, value in found.tried:
        print(f"{step:<28} {value:.4f}")
    figures: dict[str, float | int | str] = {"queries": found.queries, "ndcg_at_10_dense": round(found.dense, 4)}
    figures |= {"ndcg_at_10_start": round(found.before, 4), "ndcg_at_10": round(found.after, 4)}
    return figures | {name: getattr(found.recipe, name) for name in GRID}


class Known:
    """What was measured before with the same queries, so that a fit that was stopped goes on."""

    def __init__(self, folder: Path | None, queries: list[str]) -> None:
        self.path = folder / f"fit-{digest_json(queries)[:16]}.json" if folder else None
        known = self.path is not None and self.path.is_file()
        self.values: dict[str, list[float]] = json.loads(self.path.read_text()) if known and self.path else {}

    def add(self, key: str, values: list[float]) -> None:
        """Remember."""
        self.values[key] = values
        if self.path is not None:
            self.path.write_text(json.dumps(self.values))


def read_documents(folder: Path, limit: int) -> Iterator[Document]:
    """A folder's documents, whichever of the three forms it has."""
    if (folder / "corpus.jsonl").is_file():
        yield from read_corpus(folder / "corpus.jsonl")
    elif (folder / "ArticleDocument.json").is_file():
        yield from read_handbook(folder)[0]
    else:
        yield from read_folder(folder, limit)
