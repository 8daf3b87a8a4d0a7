"""Where retrieval's defaults come from: settings fitted to known-item queries made from several corpora's own text."""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact_index import check_agreement
from benchmarks.ingestion import serve
from benchmarks.known_corpora import FEATURES, Corpus, make_corpus
from llm_twin.digests import digest_json
from llm_twin.embedding import load_encoder
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.tuning import GRID, assign_folds, fit, measure_gains

DESCRIPTION = "fit retrieval's settings to known-item queries made from the text of several corpora"
PLAIN = {"fusion": "weighted", "alpha": 0.5, "feedback": False, "neighbour_weight": 0.0}
STARTS: dict[str, dict[str, Any]] = {"plain": PLAIN, "default": {}}
WIDE_GRID: dict[str, list[Any]] = GRID | {
    "feedback_focus": [0.0, 1.0, 2.0, 4.0, 6.0],
    "dense_feedback_weight": [0.3, 0.4, 0.5, 0.6, 0.7],
    "dense_feedback_chunks": [3, 5, 10],
    "sparse_feedback_weight": [0.2, 0.3, 0.4, 0.5, 0.6],
    "sparse_feedback_chunks": [3, 5, 10],
    "sparse_feedback_terms": [10, 20, 40, 80],
    "neighbour_weight": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "neighbours": [3, 5, 10, 15],
    "candidates": [50, 100, 200],
}
LARGER = {"candidates": [100, 200], "pool": [100]}  # tried last: they take long
MIN_GAIN = 0.001  # about one standard error of the difference between two settings
ROUNDS = 10_000
SAMPLE = 50  # queries asked of the vector server too


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --queries, --documents, --cache."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders: corpus.jsonl (no judgement is "
                        "read), ArticleDocument.json, or Markdown")  # fmt: skip
    parser.add_argument("--queries", type=int, default=200, help="of each corpus")
    parser.add_argument("--documents", type=int, default=1400, help="of each corpus, at most")
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings and measurements between runs")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Make each corpus' queries, descend from every start, and say how sure it is that the best end is better."""
    encoder = load_encoder(FEATURES.embedder, args.cache, FEATURES.precision, FEATURES.batch_size)
    encoder.encode_query = functools.cache(encoder.encode_query)  # type: ignore[method-assign]  # asked often
    corpora = []
    for folder in args.data:
        corpora.append(make_corpus(folder, encoder, args.queries, args.documents))
        print(describe(corpora[-1]), flush=True)
    smallest = min(corpora, key=lambda corpus: len(corpus.index.chunks))
    with tempfile.TemporaryDirectory(prefix="twin-benchmark-") as folder, serve(Path(folder)) as url:
        sample = smallest.items[:SAMPLE]
        agreed = check_agreement(smallest.index, sample, encoder, url, RetrievalRecipe(self_query="none"))
    print(f"the vector server and the exact index agree on {agreed} queries of {smallest.name}", flush=True)
    items = [item for corpus in corpora for item in corpus.items]
    weights = [len(items) / len(corpora) / len(corpus.items) for corpus in corpora for _ in corpus.items]
    known = Known(args.cache, [[item.query for item in items], sorted(item.answers for item in items[:1])])

    def measure(recipe: RetrievalRecipe) -> list[float]:
        """A query's nDCG@10 by its corpus' weight, so that their mean is that of the corpora's means."""
        key = recipe.model_dump_json()
        if key not in known.values:
            found = (measure_gains(one.items, "benchmark", one.index, encoder, recipe) for one in corpora)
            known.add(key, list(itertools.chain.from_iterable(found)))
        return [value * weight for value, weight in zip(known.values[key], weights, strict=True)]

    folds = assign_folds(items)
    ends = {}
    for name, start in STARTS.items():
        ends[name] = fit(measure, RetrievalRecipe(**start), folds, WIDE_GRID, MIN_GAIN)
        print(f"from {name}: {ends[name].before:.4f} to {ends[name].after:.4f}")
        for step, value in ends[name].tried:
            print(f"  {step:<28} {value:.4f}")
    best = max(ends.values(), key=lambda found: found.after)
    recipe = take_larger(best.recipe, lambda one: float(np.mean(measure(one))))
    documents = [item.document_id for item in items]
    figures: dict[str, float | int | str] = {"queries": len(items), "ndcg_at_10_dense": round(best.dense, 4)}
    for name, found in ends.items():
        figures |= {f"ndcg_at_10_from_{name}": round(found.after, 4)}
    low, high = bootstrap(measure(RetrievalRecipe()), measure(recipe), documents)
    figures |= {"ndcg_at_10_default": round(float(np.mean(measure(RetrievalRecipe()))), 4)}
    figures |= {
        "ndcg_at_10": round(float(np.mean(measure(recipe))), 4),
        "gain_low": round(low, 4),
        "gain_high": round(high, 4),
    }
    at = 0
    for corpus in corpora:
        own = known.values[recipe.model_dump_json()][at : at + len(corpus.items)]
        figures[f"ndcg_at_10_{corpus.name}"] = round(float(np.mean(own)), 4)
        at += len(corpus.items)
    return figures | {name: getattr(recipe, name) for name in [*WIDE_GRID, *LARGER]}


def take_larger(recipe: RetrievalRecipe, measure: Callable[[RetrievalRecipe], float]) -> RetrievalRecipe:
    """Where more candidates or a larger pool are no worse, they are taken: what is not looked at cannot be found."""
    for name, values in LARGER.items():
        for value in values:
            larger = recipe.model_copy(update={name: value})
            if value > getattr(recipe, name) and measure(larger) >= measure(recipe):
                recipe = larger
    return recipe


def describe(corpus: Corpus) -> str:
    """One line on a corpus."""
    documents = len({item.document_id for item in corpus.items})
    answers = sum(len(item.answers) for item in corpus.items) / max(len(corpus.items), 1)
    return (
        f"{corpus.name}: {len(corpus.index.chunks):,} chunks, {len(corpus.items)} queries of {documents} documents, "
        f"{answers:.1f} answers each"
    )


def bootstrap(before: list[float], after: list[float], documents: list[str], seed: int = 20) -> tuple[float, float]:
    """95 % interval of the mean gain, documents drawn with their queries (a paired cluster bootstrap)."""
    names = {document: row for row, document in enumerate(dict.fromkeys(documents))}
    rows = np.array([names[document] for document in documents])
    gains = np.bincount(rows, np.array(after) - np.array(before))
    sizes = np.bincount(rows)
    drawn = np.random.default_rng(seed).integers(0, len(names), (ROUNDS, len(names)))
    means = gains[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


class Known:
    """What was measured before with the same queries, so that a fit that was stopped goes on.

    It does not know the code: give another folder after a change of retrieval's own.
    """

    def __init__(self, folder: Path | None, queries: list[Any]) -> None:
        self.path = folder / f"fit-{digest_json(queries)[:16]}.json" if folder else None
        known = self.path is not None and self.path.is_file()
        self.values: dict[str, list[float]] = json.loads(self.path.read_text()) if known and self.path else {}

    def add(self, key: str, values: list[float]) -> None:
        """Remember."""
        self.values[key] = values
        if self.path is not None:
            self.path.write_text(json.dumps(self.values))
