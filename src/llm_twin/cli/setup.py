"""`twin init`, `twin doctor`, `twin backup`, `twin restore`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, doctor, backup, restore):
        app.command()(command)


def init(
    name: str = typer.Option("", "--author", help="The author's name."),
    author_id: str = typer.Option("", "--id", help="A short id such as jane-doe; default: made of the name."),
    email: str = typer.Option("", help="The author's address: theirs, so never masked as a stranger's."),
    link: list[str] = typer.Option([], help="A feed, site, newsletter or repository URL; may be repeated."),
    export: list[str] = typer.Option(
        [], help="A Medium, LinkedIn or Substack export ZIP, or a folder; may be repeated."
    ),
    base_model: str = typer.Option("", help="seedling, a hub id, or a local model folder."),
    endpoint: str = typer.Option(
        "", help="OpenAI-compatible URL that answers; then nothing is trained without --base-model."
    ),
    endpoint_model: str = typer.Option("", help="The endpoint's model name; its key is LLM_TWIN_PREDICTOR_API_KEY."),
    folder: Path = typer.Option(Path("my-twin"), help="Where to write recipe.yaml and sources.yaml."),
    replace: bool = typer.Option(False, help="Overwrite the folder's recipe.yaml and sources.yaml."),
) -> None:
    """Write a recipe and a sources file for a twin of yourself; asks for what is not given."""
    from llm_twin.errors import InputError
    from llm_twin.local.init import write_twin

    asks = sys.stdin.isatty()
    if not name and not asks:
        raise InputError("no author given", "add --author NAME")
    name = name or typer.prompt("The author's name")
    sources = [*link, *export]
    if not sources and asks:
        print("Feeds, sites, repositories, export ZIPs or folders, one a line; an empty line ends:")
        while found := typer.prompt(" ", default="", show_default=False):
            sources.append(found)
    if not base_model and not endpoint and asks:
        base_model = typer.prompt("Base model: seedling, a hub id, or a local folder", default="seedling")
    recipe, listed = write_twin(
        folder, name, sources, author_id=author_id, email=email, base_model=base_model,
        endpoint=endpoint, endpoint_model=endpoint_model, replace=replace,
    )  # fmt: skip
    print(f"wrote {recipe} and {listed}\nNext: twin doctor, then twin run --recipe {recipe}")


def doctor() -> None:
    """Say what fits this machine (memory, disk, time, hub, ports) and what is missing. Exit 1 if something is."""
    from rich.console import Console
    from rich.table import Table

    from llm_twin.local.doctor import examine, fitting_models
    from llm_twin.settings import HomeSettings
    from pipelines.launch import find_quantize_python

    find_quantize_python()
    console, failed = Console(soft_wrap=True), False
    for check in examine(HomeSettings().root):
        mark = "[green]✓[/]" if check.ok else ("[red]✗[/]" if check.needed else "[yellow]–[/]")
        failed = failed or (check.needed and not check.ok)
        remedy = f"  → {check.remedy}" if check.remedy else ""
        console.print(f" {mark} {check.what:<25} {check.found}{remedy}", highlight=False)
    table = Table("base model", "LoRA training needs", "fits", title="What could be trained here", title_justify="left")
    for model, need, fits in fitting_models():
        table.add_row(model, f"{need:.1f} GiB", "yes" if fits else "no")
    console.print(table)
    if failed:
        raise typer.Exit(1)


def backup(
    file: Path = typer.Argument(help="The .tar.gz to write."),
    with_cache: bool = typer.Option(False, help="Also what could be made again (seedling, embeddings)."),
) -> None:
    """Save all state (LLM_TWIN_HOME) in one file; refuses while a twin command is running."""
    from llm_twin.local.backup import backup_home
    from llm_twin.local.home import open_home
    from llm_twin.settings import HomeSettings

    size = backup_home(open_home(HomeSettings().root), file.absolute(), with_cache=with_cache)
    print(f"wrote {file} ({size / 1e6:.1f} MB)")


def restore(
    file: Path = typer.Argument(help="What `twin backup` wrote."),
    replace: bool = typer.Option(False, help="Put it in the place of an existing home."),
) -> None:
    """Unpack a backup to LLM_TWIN_HOME."""
    from llm_twin.local.backup import restore_home
    from llm_twin.settings import HomeSettings

    root = HomeSettings().root
    count = restore_home(file, root, replace=replace)
    print(f"restored {count} files to {root}")
