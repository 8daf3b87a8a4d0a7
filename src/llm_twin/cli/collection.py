"""`twin extract`, `collect`, `forget`, `quarantine`, `changes`: collection from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from llm_twin.stores.warehouse import Warehouse


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("extract")(extract)
    app.command("collect")(collect)
    app.command("forget")(forget)
    app.command("quarantine")(quarantine)
    app.command("changes")(changes)


@contextmanager
def open_warehouse() -> Iterator[Warehouse]:
    """The warehouse of the settings, or this machine's own, started for the time being."""
    from llm_twin.local.home import open_home
    from llm_twin.local.services import local_services
    from llm_twin.settings import HomeSettings, WarehouseSettings
    from llm_twin.stores.warehouse import Warehouse

    with local_services(open_home(HomeSettings().root), need=("warehouse",)):
        settings = WarehouseSettings()
        with Warehouse.connect(settings.url.get_secret_value(), settings.database) as warehouse:
            warehouse.ensure_schema()
            yield warehouse


def extract(
    pages: list[str] = typer.Argument(help="Files or http(s) URLs of pages; `-` reads their names, one a line."),
    allow: list[str] = typer.Option([], help="A host (or host:port) that may lie on a private address."),
    timeout_seconds: float = typer.Option(30.0, min=0.1, help="For each page."),
    requests_per_second: float = typer.Option(2.0, min=0.01, help="For each host."),
    workers: int = typer.Option(0, min=0, help="Processes that read pages; 0: one a core, if there are many pages."),
) -> None:
    """Print each page's article as one JSON line: title, author, published, url, language, text (Markdown).

    Lines come in the order of the pages. A page without an article is a line on stderr, and exit code 1 at the end;
    the others are printed.

    Examples: `twin extract https://example.org/post`, `twin extract saved/*.html > articles.jsonl`,
    `find saved -name '*.html' | twin extract -`.
    """
    import asyncio
    import sys

    from llm_twin.collection.single import extract_all

    named = [one for page in pages for one in (sys.stdin.read().splitlines() if page == "-" else [page]) if one]

    async def print_all() -> int:
        failed = 0
        async for record, problem in extract_all(named, allow, timeout_seconds, requests_per_second, workers or None):
            if record is not None:
                print(json.dumps(record, ensure_ascii=False), flush=True)
            else:
                failed += 1
                typer.echo(f"error: {problem}", err=True)
        return failed

    if asyncio.run(print_all()):
        raise typer.Exit(1)


def collect(
    recipe: str = typer.Option("sample", help="A shipped recipe or a file."),
    author: str = typer.Option("", help="Only this author of the recipe's sources file."),
    report: Path | None = typer.Option(
        None, help="Write the data-quality report here (.html or .md); with several authors, a file for each."
    ),
) -> None:
    """Collect the recipe's sources into the warehouse, and say what came of each.

    Exit code 0 if all went well, 1 if items failed (each is named) or too many did.
    """
    from llm_twin.collection.collect import collect as run_collection
    from llm_twin.collection.quality import check_quality, measure_quality, render_html, render_markdown
    from llm_twin.documents import Author
    from llm_twin.errors import InputError, QualityError, TwinError
    from llm_twin.recipes import load_recipe
    from llm_twin.settings import SourceSettings
    from pipelines.catalogue import find_recipe
    from pipelines.launch import with_sources_file

    failed = 0
    problems: list[TwinError] = []
    token = SourceSettings().github_token.get_secret_value()
    loaded = load_recipe(find_recipe(recipe))
    with open_warehouse() as warehouse:
        chosen = [one for one in with_sources_file(loaded) if not author or one.author.id == author]
        if not chosen:
            raise InputError(f"no author {author!r} in the recipe", "name one that its sources file lists")
        for one in chosen:  # what is wrong with one author keeps nobody from the next
            try:
                person = Author.model_validate(one.author.model_dump())
                collected = run_collection(person, one.collection, warehouse, token)
                measured = measure_quality(collected, warehouse.read_snapshot(collected.snapshot))
                print(render_markdown(measured))
                if report is not None:
                    render = render_markdown if report.suffix == ".md" else render_html
                    path = report if len(chosen) == 1 else report.with_stem(f"{report.stem}-{person.id}")
                    path.write_text(render(measured), encoding="utf-8")
                failed += len(collected.failures)
                check_quality(measured, one.collection)
            except (InputError, QualityError) as error:
                problems.append(error)
                if len(chosen) > 1:
                    typer.echo(f"error: {one.author.id}: {error}", err=True)
    if problems:
        raise problems[0]
    if failed:
        raise typer.Exit(1)


def forget(
    what: str = typer.Argument(help="An author's id, or a collected URL."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    purge: bool = typer.Option(False, "--purge", help="Also delete the files of data sets that hold it."),
) -> None:
    """Remove an author or a page for good, and what was derived of it. Prints the signed record (no text in it).

    Gone at once: raw bytes, revisions, states, vectors in the index and the cache, outputs of steps that name it. Data
    sets that hold it are marked, and models trained on them are named. Killed half-way, the same call finishes.
    """
    from llm_twin.cli.datasets import mark_derived
    from llm_twin.collection.records import canonicalize_url
    from llm_twin.errors import TwinError

    if not yes:
        typer.confirm(f"Remove everything of {what} from the warehouse? This cannot be undone.", abort=True)
    with open_warehouse() as warehouse:
        record = warehouse.forget(what, canonicalize_url(what) if "://" in what else "")
        forgotten = warehouse.forgotten_documents()
        owners = warehouse.forgotten_authors(record["documents"])
    print(json.dumps(record, indent=1, ensure_ascii=False))
    problem = None
    try:
        for line in forget_derived(owners, record["kind"] == "author"):
            typer.echo(line, err=True)
    except TwinError as error:
        problem = error  # the rest goes all the same; the exit code says that something stayed
    for line in mark_derived(forgotten, purge):
        typer.echo(line, err=True)
    if problem is not None:
        raise problem


def forget_derived(owners: dict[str, list[str]], whole_author: bool) -> Iterator[str]:
    """Clear each author's index, the cache of vectors and the outputs of steps; lines that say what went.

    `owners` are the forgotten documents by author. Raises StoreError if the index does not answer.
    """
    import os

    from llm_twin.embedding import EmbeddingCache
    from llm_twin.features.forgetting import forget_author, forget_documents, forget_entries
    from llm_twin.local.compaction import compact_warehouse
    from llm_twin.local.home import open_home
    from llm_twin.local.services import local_services
    from llm_twin.settings import HomeSettings, IndexSettings
    from llm_twin.stores.vectors import VectorIndex

    home = open_home(HomeSettings().root)
    if not compact_warehouse(home):
        yield "the warehouse's file is in use and still holds deleted bytes: forget again when nothing else runs"
    outputs = forget_entries(home.artifacts / "content", [one for own in owners.values() for one in own])
    if outputs:
        yield f"{len(outputs)} outputs of steps that named it were deleted; the next run makes them anew"
    folder = home.cache / "embeddings"
    cache = EmbeddingCache(folder) if folder.is_dir() else None
    has_index = "LLM_TWIN_QDRANT_URL" in os.environ or (home.vectors.is_dir() and any(home.vectors.iterdir()))
    with local_services(home, need=("vectors",) if has_index else ()):
        where = IndexSettings()
        index = VectorIndex.connect(where.url, where.key) if has_index else None
        for author, documents in owners.items():
            drop = forget_author if whole_author else forget_documents
            gone = drop(author, documents, index, cache)
            if gone.index_rebuilt:
                yield f"the index holds nothing more of {len(documents)} forgotten document(s) of {author}"
            if gone.cached_vectors:
                yield f"{gone.cached_vectors} cached vectors of {author} were overwritten"
        if index is not None:
            index.close()


def quarantine(author: str = typer.Option("", help="Only this author's.")) -> None:
    """List what collection refused, newest first: one JSON line each, with the reason."""
    with open_warehouse() as warehouse:
        for item in warehouse.list_quarantine(author or None):
            print(json.dumps({key: item[key] for key in ("author", "url", "reason", "detail")}, ensure_ascii=False))


def changes(
    reader: str = typer.Option("cli", help="Whose position to read from."),
    commit: bool = typer.Option(True, help="Move the position, so that the next call begins after these."),
) -> None:
    """Print what changed in the warehouse since this reader last asked, one JSON line each."""
    import dataclasses

    with open_warehouse() as warehouse:
        feed = warehouse.changes(reader)
        for change in feed.read():
            print(json.dumps(dataclasses.asdict(change)))
        if commit:
            feed.commit()
