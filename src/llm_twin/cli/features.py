"""`twin search`, `twin sync`, `twin tune`: the author's index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from llm_twin.embedding import Encoder
    from llm_twin.recipes import Recipe
    from llm_twin.retrieval.records import SearchResult
    from llm_twin.stores.vectors import VectorIndex


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("search")(search)
    app.command("sync")(sync)
    app.command("tune")(tune)


def search(
    query: str = typer.Argument(..., help="What to look for."),
    recipe: str = typer.Option("sample", help="A shipped recipe or a file."),
    author: str = typer.Option("", help="Whose index (id); default: the recipe's author."),
    where: list[str] = typer.Option([], "--where", help="A filter such as kind=article or published_after=2023-01-01."),
    top_k: int = typer.Option(0, help="How many passages; 0: as the recipe says.", min=0, max=100),
    explain: bool = typer.Option(False, help="Print the steps, their times and what each did."),
) -> None:
    """Find the passages that bear on a question.

    Example: `twin search "Why do tides lag the moon?" --where kind=article --explain`.
    """
    from llm_twin.retrieval.search import search as find

    loaded = _load(recipe)
    settings = loaded.serving.retrieval
    if top_k:
        settings = settings.model_copy(update={"top_k": top_k})
    with _open_index(loaded) as (index, encoder):
        result = find(query, author or loaded.author.id, index, encoder, settings, _parse_filters(where))
    _print_result(result, explain)


def sync(
    recipe: str = typer.Option("sample", help="A shipped recipe or a file."),
    author: str = typer.Option("", help="Whose documents (id); default: the recipe's author."),
    follow: bool = typer.Option(False, help="Stay, and index each change of the warehouse as it comes."),
) -> None:
    """Bring the index in step with the warehouse: only what changed is chunked, embedded and written.

    Examples: `twin sync`, `twin sync --recipe my-twin/recipe.yaml --follow`.
    """
    from llm_twin.features.sync import follow_author, sync_author

    loaded = _load(recipe)
    name = author or loaded.author.id
    with _open_warehouse() as warehouse, _open_index(loaded) as (index, encoder):
        if follow:
            print(f"following the warehouse's changes of {name}; Ctrl-C stops", flush=True)
            follow_author(warehouse, index, encoder, loaded.features, name, _print_sync)
        else:
            done = sync_author(warehouse, index, encoder, loaded.features, name)
            _print_sync(done, None)
            print(f"index {done.digest}")


def tune(
    recipe: Path = typer.Argument(..., help="The recipe file to fit and write."),
    queries: int = typer.Option(100, help="Known-item queries to make from the corpus.", min=20, max=2000),
    dry_run: bool = typer.Option(False, help="Only print what was found."),
) -> None:
    """Fit retrieval's settings to the author's corpus, by questions made from it, and write them to the recipe.

    Example: `twin tune my-twin/recipe.yaml`.
    """
    from llm_twin.retrieval.tuning import tune as fit

    loaded = _load(str(recipe))
    with _open_index(loaded) as (index, encoder):
        found = fit(loaded.author.id, index, encoder, loaded.serving.retrieval, queries)
    print(f"nDCG@10 over {found.queries} queries:", end=" ")
    print(f"dense {found.dense:.3f}, before {found.before:.3f}, now {found.after:.3f}")
    changed = _changes(loaded.serving.retrieval, found.recipe)
    print("\n".join(f"  {name}: {value}" for name, value in changed.items()) or "  the settings stay as they are")
    if changed and not dry_run:
        _write_settings(recipe, changed)
        print(f"written to {recipe}")


def _load(recipe: str) -> Recipe:
    from llm_twin.recipes import load_recipe
    from pipelines.catalogue import find_recipe

    return load_recipe(find_recipe(recipe))


@contextmanager
def _open_index(recipe: Recipe) -> Iterator[tuple[VectorIndex, Encoder]]:
    from llm_twin.embedding import load_encoder
    from llm_twin.local.home import open_home
    from llm_twin.local.services import local_services
    from llm_twin.settings import EmbeddingSettings, HomeSettings, IndexSettings
    from llm_twin.stores.vectors import VectorIndex

    home, features = open_home(HomeSettings().root), recipe.features
    cache = home.cache / "embeddings"
    with local_services(home, need=("vectors",)):
        where = IndexSettings()
        with VectorIndex.connect(where.url, where.key) as index:
            access = EmbeddingSettings().key
            yield index, load_encoder(features.embedder, cache, features.precision, features.batch_size, access)


@contextmanager
def _open_warehouse() -> Iterator[Any]:
    from llm_twin.local.home import open_home
    from llm_twin.local.services import local_services
    from llm_twin.settings import HomeSettings, WarehouseSettings
    from llm_twin.stores.warehouse import Warehouse

    with local_services(open_home(HomeSettings().root), need=("warehouse",)):
        where = WarehouseSettings()
        with Warehouse.connect(where.url.get_secret_value(), where.database) as warehouse:
            warehouse.ensure_schema()
            yield warehouse


def _parse_filters(pairs: list[str]) -> dict[str, Any]:
    from llm_twin.errors import InputError

    filters: dict[str, Any] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not value:
            raise InputError(f"--where {pair!r} is no filter", "write it as field=value, such as kind=article")
        filters.setdefault(name.strip(), []).append(value.strip())
    dates = ("published_after", "published_before")
    return {name: values[-1] if name in dates else values for name, values in filters.items()}


def _print_result(result: SearchResult, explain: bool) -> None:
    for number, hit in enumerate(result.hits, start=1):
        chunk = hit.chunk
        title = " > ".join([chunk.title, *chunk.headings]).strip(" >")
        print(f"[{number}] {hit.score:.3f}  {title}\n    {chunk.url} characters {chunk.start}–{chunk.end}")
        if explain:
            sparse = "–" if hit.sparse_score is None else f"{hit.sparse_score:.2f}"
            when = f"{chunk.published:%Y-%m-%d}" if chunk.published else ""
            print(f"    cosine {hit.dense_score:.3f}, BM25 {sparse}, {chunk.platform} {chunk.kind} {when}")
        print("    " + " ".join(hit.text.split())[:300])
    if not result.hits:
        print("nothing found")
    if explain:
        print("\nhow it was found:")
        if result.filters:
            print(f"  filters: {', '.join(f'{name}={value}' for name, value in result.filters.items())}")
        for step in result.trace:
            effect = ", ".join(f"{name} {value}" for name, value in step.effect.items())
            print(f"  {step.name:<12} {step.milliseconds:8.1f} ms  {effect}")


def _print_sync(done: Any, seconds: float | None) -> None:
    took = "" if seconds is None else f" in {seconds:.2f} s"
    written = f"{done.written} written ({done.chunks_written} chunks), {done.deleted} deleted"
    print(f"{done.documents} documents: {written}{took}", flush=True)


def _changes(before: Any, after: Any) -> dict[str, Any]:
    old = before.model_dump()
    return {name: value for name, value in after.model_dump().items() if old[name] != value}


def _write_settings(path: Path, changed: dict[str, Any]) -> None:
    """Put retrieval's settings into the recipe, for serving and evaluation alike; comments of the file are lost."""
    import yaml

    from llm_twin.recipes import parse_recipe

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section in ("serving", "evaluation"):
        content.setdefault(section, {}).setdefault("retrieval", {}).update(changed)
    parse_recipe(content, str(path))
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    beside.replace(path)
