"""Known-item search: an article's title as the query, titles not indexed; part of the benchmark `retrieval`."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from llm_twin.documents import Document, stable_id
from llm_twin.embedding import Encoder
from llm_twin.progress import track
from llm_twin.recipe_serving import RetrievalRecipe
from llm_twin.retrieval.search import search
from llm_twin.stores.vectors import VectorIndex

ROUNDS = 20_000
DENSE = {"fusion": "dense", "feedback": False, "neighbour_weight": 0.0}
VARIANTS: dict[str, dict] = {
    "dense": DENSE,
    "bm25": DENSE | {"fusion": "sparse"},
    "hybrid": DENSE | {"fusion": "weighted"},
    "hybrid_with_expansion": {},
    "hybrid_with_synonyms": {"expansion": "synonyms"},
}


def read_handbook(data: Path) -> tuple[Iterator[Document], dict[str, set[str]]]:
    """Articles with every line that says their title taken out, and title → addresses of the articles that bear it."""
    articles = json.loads((data / "ArticleDocument.json").read_text(encoding="utf-8"))
    titles: dict[str, set[str]] = {}
    documents = []
    for article in articles:
        content, name = article["content"], article["author_full_name"]
        title = re.sub(
            rf"\s*[-–|]\s*{re.escape(name)}$|^{re.escape(name)}\s*[-–|]\s*", "", content["Title"] or ""
        ).strip()
        text = content["Content"] or ""
        if not title or not text.strip():
            continue
        titles.setdefault(title, set()).add(article["link"])
        lines = [line for line in text.splitlines() if title.casefold() not in line.casefold()]
        documents.append(
            Document(
                document_id=stable_id("handbook", article["link"]),
                revision_id=stable_id(text),
                author="benchmark",
                platform="handbook",
                kind="article",
                url=article["link"],
                language="en",
                text="\n".join(lines),
            )
        )
    return iter(documents), titles


def run_known_items(
    index: VectorIndex, encoder: Encoder, author: str, titles: dict[str, set[str]]
) -> dict[str, float | int | str]:
    """MRR@10 of each variant, and a paired randomization test of hybrid against dense."""
    ranks: dict[str, list[float]] = {}
    print(f"{'variant':<24} {'MRR@10':>7}")
    for name, changes in VARIANTS.items():
        recipe = RetrievalRecipe(**{"top_k": 60, "pool": 60, **changes})
        ranks[name] = []
        for title, links in track(titles.items(), f"titles, {name}", len(titles), every_seconds=10):
            found = list(dict.fromkeys(hit.chunk.url for hit in search(title, author, index, encoder, recipe).hits))
            first = next((at for at, link in enumerate(found[:10], start=1) if link in links), 0)
            ranks[name].append(1 / first if first else 0.0)
        print(f"{name:<24} {statistics.fmean(ranks[name]):>7.4f}", flush=True)
    figures: dict[str, float | int | str] = {"queries": len(titles), "chunks": index.count(author)}
    figures |= {f"mrr_at_10_{name}": round(statistics.fmean(values), 4) for name, values in ranks.items()}
    for name in ("hybrid", "hybrid_with_expansion"):
        figures[f"p_value_{name}_over_dense"] = round(compare_paired(ranks[name], ranks["dense"]), 5)
        print(f"{name} over dense: p = {figures[f'p_value_{name}_over_dense']}")
    return figures


def compare_paired(better: list[float], worse: list[float], seed: int = 20) -> float:
    """One-sided p-value of Fisher's paired randomization test (Smucker, Allan and Carterette 2007)."""
    differences = np.array(better) - np.array(worse)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(ROUNDS, len(differences)))
    return float((np.sum((signs * differences).mean(axis=1) >= differences.mean() - 1e-12) + 1) / (ROUNDS + 1))
