"""`twin …`: the command line. Parse, call, print; each module here registers its commands."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import typer
from typer.models import CommandInfo, TyperInfo

from llm_twin import __version__
from llm_twin.errors import TwinError

app = typer.Typer(
    name="twin",
    help="Turn an author's published writing into a served twin: a model of their voice that cites its sources.\n\n"
    'Begin with `twin run --recipe sample`, then `twin ask "…"`; for a twin of yourself, `twin init`.',
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

# How `twin --help` groups the commands, in the order in which a newcomer meets them.
PANELS = {
    "Begin": ("init", "doctor", "run", "ask", "serve"),
    "One stage at a time": ("extract", "collect", "sync", "search", "tune", "datasets", "train", "evaluate", "batch"),
    "Look and decide": ("models", "plan", "scores", "gate", "voice", "traces", "drift", "changes", "quarantine"),
    "Operate": ("export", "forget", "keys", "prompts", "engine", "release", "backup", "restore"),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"llm-twin {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """State lives in LLM_TWIN_HOME (default ~/.llm-twin)."""


def register_commands() -> None:
    """Let each module of this package add its commands, then sort them into the panels of the help."""
    for module in sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name != "__main__"):
        register = getattr(importlib.import_module(f"{__name__}.{module}"), "register", None)
        if register is not None:
            register(app)
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    order = list(panels)
    for listed in (app.registered_commands, app.registered_groups):
        for info in listed:
            info.rich_help_panel = panels.get(command_name(info), "More")
        listed.sort(key=lambda info: order.index(name) if (name := command_name(info)) in panels else len(order))


def command_name(info: CommandInfo | TyperInfo) -> str:
    """The name under which typer lists a command or a group."""
    return str(info.name or getattr(info.callback, "__name__", ""))


def main() -> None:
    """Run the command line; an error that we can name is one line on stderr and an exit code, never a traceback."""
    register_commands()
    try:
        app()
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on from there", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has gone: nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
