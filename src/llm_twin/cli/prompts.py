"""`twin prompts`: the twin's prompts in MLflow's registry, and which version its aliases stand for."""

from __future__ import annotations

from pathlib import Path

import typer

commands = typer.Typer(
    help="The twin's prompts in MLflow's prompt registry; a recipe follows an alias with serving.prompt_alias.",
    no_args_is_help=True,
)
NAME = typer.Argument(..., help="twin_system or twin_question.")
AUTHOR = typer.Option("", help="This author's own (id); default: for all authors that have none of their own.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="prompts")


def _registry() -> str:
    from llm_twin.settings import HomeSettings, RegistrySettings

    return RegistrySettings().resolve(HomeSettings().root)


@commands.command("list")
def list_prompts() -> None:
    """List the registered versions, newest first, with their aliases."""
    from llm_twin.serving.prompt_registry import list_registered

    found = list_registered(_registry())
    for one in found:
        print(f"{one.label:<32}  {','.join(one.aliases) or '-':<16}  {one.message}".rstrip())
    if not found:
        print("no prompt is registered: twins write the package's (`twin prompts show twin_system`)")


@commands.command("show")
def show(
    name: str = NAME,
    version: int = typer.Option(0, min=0, help="This registered version."),
    alias: str = typer.Option("", help="The version with this alias, or latest."),
    author: str = AUTHOR,
) -> None:
    """Print a prompt's template: the package's own, or a registered version.

    Example: `twin prompts show twin_system > mine.jinja`
    """
    from llm_twin.prompts import read_prompt
    from llm_twin.serving.prompt_registry import find, registered_name

    registered_name(name)
    if version or alias:
        found = find(_registry(), name, author=author, version=version, alias=alias)
        print(found.template.rstrip("\n"))
        return
    print(read_prompt(name).rstrip("\n"))


@commands.command("register")
def register_prompt(
    name: str = NAME,
    file: Path = typer.Argument(..., help="A Jinja template; `twin prompts show` prints one to start from."),
    alias: str = typer.Option("", help="Give the new version this alias, such as production."),
    message: str = typer.Option("", help="What changed."),
    author: str = AUTHOR,
) -> None:
    """Register a template as the newest version; servers take it over when an alias they follow moves to it.

    Example: `twin prompts register twin_system mine.jinja --alias production`
    """
    from llm_twin.errors import InputError
    from llm_twin.serving.prompt_registry import register as keep

    try:
        template = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {error}", "give the path of a Jinja template") from error
    kept = keep(_registry(), name, template, author=author, alias=alias, message=message)
    print(f"{kept.label}  {','.join(kept.aliases)}".rstrip())


@commands.command("alias")
def move_alias(
    name: str = NAME,
    alias: str = typer.Argument(..., help="Such as production."),
    version: int = typer.Argument(..., min=1, help="The version that it shall stand for."),
    author: str = AUTHOR,
) -> None:
    """Let an alias stand for a version; running servers that follow it take the version over within seconds.

    Example: `twin prompts alias twin_system production 2`
    """
    from llm_twin.serving.prompt_registry import move_alias as move

    move(_registry(), name, alias, version, author)
    print(f"{name}{'.' + author if author else ''}@{alias} is version {version}")
