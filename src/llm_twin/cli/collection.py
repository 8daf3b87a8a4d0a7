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
    pages: list[str] = typer.Argument(help="Files or http(s) URLs of pages."),
    allow: list[str] = typer.Option([], help="A host (or host:port) that may lie on a private address."),
    timeout_seconds: float = typer.Option(30.0, help="For each page."),
) -> None:
    """Print each page's article as one JSON line: title, author, published, url, language, text (Markdown).

    A page without an article is a line on stderr, and exit code 1 at the end; the others are printed.
    """
    from llm_twin.collection.single import extract_all

    failed = 0
    for record, problem in extract_all(pages, allow, timeout_seconds):
        if record is not None:
            print(json.dumps(record, ensure_ascii=False), flush=True)
        else:
            failed += 1
            typer.echo(f"error: {problem}", err=True)
    if failed:
        raise typer.Exit(1)


def collect(
    recipe: str = typer.Option("sample", help="A shipped recipe or a file."),
    author: str = typer.Option("", help="Only this author of the recipe's sources file."),
    report: Path | None = typer.Option(None, help="Write the data-quality report here (.html or .md)."),
) -> None:
    """Collect the recipe's sources into the warehouse, and say what came of each.

    Exit code 0 if all went well, 1 if items failed (each is named) or too many did.
    """
    from llm_twin.collection.collect import check_quality
    from llm_twin.collection.collect import collect as run_collection
    from llm_twin.collection.quality import measure_quality, render_html, render_markdown
    from llm_twin.documents import Author
    from llm_twin.recipes import load_recipe
    from llm_twin.settings import SourceSettings
    from pipelines.catalogue import find_recipe
    from pipelines.launch import with_sources_file

    failed = 0
    token = SourceSettings().github_token.get_secret_value()
    loaded = load_recipe(find_recipe(recipe))
    with open_warehouse() as warehouse:
        for chosen in with_sources_file(loaded):
            if author and chosen.author.id != author:
                continue
            person = Author.model_validate(chosen.author.model_dump())
            collected = run_collection(person, chosen.collection, warehouse, token)
            measured = measure_quality(collected, warehouse.read_snapshot(collected.snapshot))
            print(render_markdown(measured))
            if report is not None:
                render = render_markdown if report.suffix == ".md" else render_html
                report.write_text(render(measured), encoding="utf-8")
            failed += len(collected.failures)
            check_quality(collected, chosen.collection)
    if failed:
        raise typer.Exit(1)


def forget(
    what: str = typer.Argument(help="An author's id, or a collected URL."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    purge: bool = typer.Option(False, "--purge", help="Also delete the files of data sets that hold it."),
) -> None:
    """Remove an author or a page for good: raw bytes, revisions, states. Prints the signed record (no text in it)."""
    from llm_twin.cli.datasets import mark_derived
    from llm_twin.collection.records import canonicalize_url

    if not yes:
        typer.confirm(f"Remove everything of {what} from the warehouse? This cannot be undone.", abort=True)
    with open_warehouse() as warehouse:
        record = warehouse.forget(what, canonicalize_url(what) if "://" in what else "")
        forgotten = warehouse.forgotten_documents()
    print(json.dumps(record, indent=1, ensure_ascii=False))
    for line in mark_derived(forgotten, purge):
        typer.echo(line, err=True)
    typer.echo("the next run drops what was derived: vectors, samples, data sets of the snapshots above", err=True)


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
