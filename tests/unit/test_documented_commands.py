"""What the pages tell a reader to type is there: commands, options, benchmarks, make's targets, linked files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import benchmarks
from llm_twin.cli import app, register_commands

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
TWIN = re.compile(r"(?:^|[;/|]|&& ) *twin ([a-z][a-z-]*)(?: ([a-z-]+))?([^;|#\n]*)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def read_code(page: Path) -> list[str]:
    """Blocks of code and spans of code, line ends within a command taken out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = FENCED.findall(text) + INDENTED.findall(FENCED.sub("", text))
    prose = INDENTED.sub("", FENCED.sub("", text))
    spans = [span for paragraph in re.split(r"\n\s*\n", prose) for span in paragraph.split("`")[1::2]]
    return [line.strip() for block in blocks for line in block.splitlines()] + [" ".join(one.split()) for one in spans]


def read_commands() -> dict[tuple[str, ...], set[str]]:
    """Each command of `twin` with its options."""
    if not app.registered_commands:
        register_commands()
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        found[path] = {one for option in command.params for one in (*option.opts, *option.secondary_opts)} | {"--help"}
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*path, name))

    walk(get_command(app), ())
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_on_a_page_exist(page: Path) -> None:
    commands, wrong = read_commands(), []
    for code in read_code(page):
        for first, second, rest in TWIN.findall(code):
            path = (first, second) if (first, second) in commands else (first,)
            unknown = set(OPTION.findall(rest)) - commands.get(path, set())
            if path not in commands or unknown:
                wrong.append(f"twin {first} {second}: {sorted(unknown) or 'no such command'}")
        for name, rest in re.findall(r"python -m benchmarks ([a-z_]+)([^;|#]*)", code):
            module = Path(benchmarks.__file__).parent / f"{name}.py"
            source = module.read_text(encoding="utf-8") if module.is_file() else ""
            if not source or any(f'"{option}"' not in source for option in OPTION.findall(rest)):
                wrong.append(f"benchmarks {name}{rest}")
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    linked = LINK.findall(page.read_text(encoding="utf-8"))
    assert [one for one in linked if not (page.parent / one).exists()] == []
