"""A data set of the LLM Engineer's Handbook's articles, made as a run makes it, then proven against its sources."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_twin.datasets import build_dataset, read_manifest, write_dataset
from llm_twin.datasets.check import check_dataset
from llm_twin.documents import Author, CleanDocument, read_jsonl, write_jsonl
from llm_twin.embedding import load_encoder
from llm_twin.errors import InputError, QualityError
from llm_twin.features.cleaning import CleaningReport, clean_snapshot
from llm_twin.recipes import CollectionRecipe, DatasetsRecipe, FeaturesRecipe, SourceRecipe

DESCRIPTION = "the Handbook's articles as a data set: leaks, targets byte for byte, counts, the same bytes twice"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --no-meaning."""
    parser.add_argument("--data", type=Path, required=True, help="the folder with the Handbook's ArticleDocument.json")
    parser.add_argument("--no-meaning", action="store_true", help="words only, no embeddings")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Collect, clean, build, check, build again in another process. Raises QualityError when something is wrong."""
    if not (args.data / "ArticleDocument.json").is_file():
        raise InputError(f"no ArticleDocument.json in {args.data}", "give the Handbook's data-warehouse export")
    recipe = DatasetsRecipe(embedder="") if args.no_meaning else DatasetsRecipe()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        documents, revisions = collect_and_clean(args.data, root)
        write_jsonl(root / "documents.jsonl", documents)
        encoder = load_encoder(recipe.embedder, root / "cache") if recipe.embedder else None
        begun, begun_cpu = time.perf_counter(), time.process_time()
        write_dataset(build_dataset(documents, recipe, encoder), root / "samples")
        figures: dict[str, float | int | str] = {
            "build_seconds": round(time.perf_counter() - begun, 1),
            "build_cpu_seconds": round(time.process_time() - begun_cpu, 1),
        }
        checked = check_dataset(root / "samples", revisions, encoder)
        figures |= checked.figures
        figures["same_bytes_in_another_process"] = int(_same_bytes(root))
        dropped = read_manifest(root / "samples")["counts"]["dropped"]
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<32}{value:>10}")
    print("dropped: " + ", ".join(f"{count} {name}" for name, count in sorted(dropped.items())))
    if checked.problems:
        raise QualityError("; ".join(checked.problems), "see what changed in cleaning or in datasets")
    return figures


def collect_and_clean(data: Path, root: Path) -> tuple[list[CleanDocument], dict[str, list[str]]]:
    """The clean documents through a warehouse in `root`, and revision id → the text collected under it."""
    from llm_twin.collection.collect import collect
    from llm_twin.local.home import open_home
    from llm_twin.local.services import local_services
    from llm_twin.stores.warehouse import Warehouse

    with (
        _home(root), local_services(open_home(root), ["warehouse"]) as urls,
        Warehouse.connect(urls["warehouse"]) as warehouse,
    ):  # fmt: skip
        recipe = CollectionRecipe(sources=[SourceRecipe(location=str(data.absolute()))])
        collected = collect(Author(id="handbook", name="The handbook's authors"), recipe, warehouse)
        revisions: dict[str, list[str]] = {}
        for document in warehouse.read_snapshot(collected.snapshot):
            revisions.setdefault(document.revision_id, []).append(document.text)
        return list(clean_snapshot(warehouse, collected.snapshot, FeaturesRecipe(), CleaningReport())), revisions


@contextmanager
def _home(root: Path) -> Iterator[None]:
    """State under `root`, and no outside warehouse, while this lasts."""
    kept = {name: os.environ.pop(name, None) for name in ("LLM_TWIN_HOME", "LLM_TWIN_MONGODB_URL")}
    os.environ["LLM_TWIN_HOME"] = str(root)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _same_bytes(root: Path) -> bool:
    """Whether another process, with another hash seed and the documents the other way round, writes the same files."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.datasets", str(root)],
        env={**os.environ, "PYTHONHASHSEED": "4711"}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    names = sorted(path.name for path in (root / "samples").iterdir())
    return names == sorted(path.name for path in (root / "again").iterdir()) and all(
        (root / "samples" / name).read_bytes() == (root / "again" / name).read_bytes() for name in names
    )


def _build_again(root: Path) -> None:
    recipe = DatasetsRecipe.model_validate(read_manifest(root / "samples")["recipe"])
    encoder = load_encoder(recipe.embedder, root / "cache") if recipe.embedder else None
    documents = list(read_jsonl(root / "documents.jsonl", CleanDocument))[::-1]
    write_dataset(build_dataset(documents, recipe, encoder), root / "again")


if __name__ == "__main__":
    _build_again(Path(sys.argv[1]))
