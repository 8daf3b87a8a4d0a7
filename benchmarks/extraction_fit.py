"""Fit the boosted trees that judge a page's blocks, from labelled pages, and write them as weights.json.

    python -m benchmarks.extraction_fit FOLDER... --output src/llm_twin/collection/extraction/weights.json

Each FOLDER holds folders with `source.html` and `expected.html` (as `python -m benchmarks extraction --data` reads
them) or `expected.txt`; one named twice counts twice. First a cross-validation by site says what to expect on sites not
fitted on; then the trees are fitted on all pages. `--exclude` takes a folder in the same form whose sites must stay
unseen: pages of them are left out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from benchmarks.extraction import TextReader
from llm_twin.collection.extraction.metadata import read_metadata
from llm_twin.collection.extraction.pages import read_by_all
from llm_twin.collection.extraction.trees import decode_page, parse_page
from llm_twin.collection.extraction.units import tokenize
from llm_twin.collection.extraction.voting import Evidence, choose_units, weigh_units
from llm_twin.collection.extraction.witnesses import Coverage

MIN_TOKENS = 10  # of expected text that is found in the page's units: below it a page teaches nothing
MAX_WEIGHT = 150  # tokens: a longer unit counts no more than this
PARAMETERS: dict[str, Any] = {
    "early_stopping": True, "max_iter": 100, "learning_rate": 0.08, "max_leaf_nodes": 12, "min_samples_leaf": 60,
    "l2_regularization": 1.0, "random_state": 0,
}  # fmt: skip


@dataclass
class LabelledPage:
    """A page's evidence, and for each unit, in the end, whether the expected text has most of it."""

    name: str
    site: str
    tokens: list[list[str]]
    expected: list[str]
    evidence: Evidence
    labels: NDArray[np.bool_]


def read_page(folder: Path) -> LabelledPage | None:
    """None for a page without text."""
    root = parse_page(decode_page((folder / "source.html").read_bytes()))
    if root is None:
        return None
    if (folder / "expected.html").is_file():
        reader = TextReader()
        reader.feed((folder / "expected.html").read_text(encoding="utf-8"))
        text = "".join(reader.pieces)
    else:
        text = (folder / "expected.txt").read_text(encoding="utf-8")
    address = f"https://{folder.name}.invalid/"
    host = urlsplit(read_metadata(root, address).url).hostname or folder.name
    read = read_by_all(root, address)
    if not read.units:
        return None
    evidence = weigh_units(read.units, read.first, read.second, read.told)
    expected = Coverage(text.split("\n"))
    labels = np.array([expected.share(unit.tokens) > 0.5 for unit in read.units])
    tokens = [unit.tokens for unit in read.units]
    return LabelledPage(folder.name, host.removeprefix("www."), tokens, tokenize(text), evidence, labels)


def read_pages(folders: list[Path]) -> list[LabelledPage]:
    """All pages of the folders, read on all cores."""
    pages = [path.parent for folder in folders for path in sorted(folder.glob("*/source.html"))]
    with ProcessPoolExecutor() as pool:
        return [page for page in pool.map(read_page, pages, chunksize=4) if page is not None]


def fit(pages: list[LabelledPage]) -> Any:
    """scikit-learn's histogram trees; each page weighs the same, within a page each unit by its size."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, labels, weights = [], [], []
    for page in pages:
        sizes = np.minimum(page.evidence.sizes, MAX_WEIGHT)
        if (sizes * page.labels).sum() < MIN_TOKENS:
            continue
        rows.append(as_rows(page))
        labels.append(page.labels)
        weights.append(sizes / sizes.sum())
    weight = np.concatenate(weights)
    model = HistGradientBoostingClassifier(**PARAMETERS)
    return model.fit(np.concatenate(rows), np.concatenate(labels), sample_weight=weight / weight.mean())


def as_rows(page: LabelledPage) -> NDArray[np.float64]:
    """The features of a page's units, shape (n, features), in the order of their names."""
    return np.stack([page.evidence.columns[name] for name in sorted(page.evidence.columns)], axis=1)


def judge(page: LabelledPage, mask: NDArray[np.bool_]) -> float:
    """Token F1 of a selection of units."""
    ours = Counter(token for tokens, keep in zip(page.tokens, mask, strict=True) if keep for token in tokens)
    both = sum((ours & Counter(page.expected)).values())
    return 2 * both / max(1, sum(ours.values()) + len(page.expected))


def cross_validate(pages: list[LabelledPage], folds: int) -> dict[str, float]:
    """Mean token F1 on the pages of sites not fitted on, beside each witness's on the same pages."""
    sites = sorted({page.site for page in pages})
    order = np.random.default_rng(0).permutation(len(sites))
    fold_of = {sites[place]: index % folds for index, place in enumerate(order)}
    scores: dict[str, list[float]] = {"ours": [], "trafilatura": [], "readability": [], "best_selection": []}
    for fold in range(folds):
        model = fit([page for page in pages if fold_of[page.site] != fold])
        for page in (page for page in pages if fold_of[page.site] == fold):
            evidence = page.evidence
            chances = model.predict_proba(as_rows(page))[:, 1]
            scores["ours"].append(judge(page, choose_units(chances, evidence)))
            scores["trafilatura"].append(judge(page, evidence.one))
            scores["readability"].append(judge(page, evidence.two))
            scores["best_selection"].append(judge(page, page.labels))
    return {name: round(float(np.mean(values)), 4) for name, values in scores.items()}


def export(model: Any, names: list[str]) -> str:
    """The trees as JSON, as forest.py reads them: a node is [feature or -1, threshold or value, left, right]."""
    trees = [[_as_list(node) for node in tree.nodes] for (tree,) in model._predictors]  # there is no public way
    content = {"features": names, "intercept": float(model._baseline_prediction.ravel()[0]), "trees": trees}
    return json.dumps(content, separators=(",", ":"))


def _as_list(node: Any) -> list[float]:
    if node["is_leaf"]:
        return [-1, round(float(node["value"]), 4), 0, 0]
    return [int(node["feature_idx"]), round(float(node["num_threshold"]), 4), int(node["left"]), int(node["right"])]


def main(command: Sequence[str] | None = None) -> None:
    """Read, cross-validate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(command)
    unseen = {page.site for page in read_pages(arguments.exclude)}
    pages = [page for page in read_pages(arguments.folders) if page.site not in unseen]
    if len({page.site for page in pages}) < arguments.folds:
        parser.error(f"{len(pages)} labelled pages of too few sites: need at least {arguments.folds} sites")
    print(json.dumps({"pages": len(pages), **cross_validate(pages, arguments.folds)}))
    if arguments.output is not None:
        arguments.output.write_text(export(fit(pages), sorted(pages[0].evidence.columns)), encoding="utf-8")


if __name__ == "__main__":
    main()
