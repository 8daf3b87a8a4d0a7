"""How a run looks: a line for each step as it ends, the running step's progress below, a table at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

if TYPE_CHECKING:
    from llm_twin.documents import Answer
    from pipelines.local_run import Listener, StepResult

PLAIN_PROGRESS_SECONDS = 10.0
MARKS = {"ran": "[green]✓[/]", "cached": "[cyan]=[/]", "failed": "[red]✗[/]"}


@contextmanager
def watch_steps(console: Console, stages: dict[str, str]) -> Iterator[Listener]:
    """Yield a listener that prints a run's events; on a terminal the running step's line moves.

    `stages` maps a step's name to its stage.
    """
    status = Status("starting", console=console) if console.is_terminal else None
    last_plain = 0.0

    def listen(event: str, step: StepResult) -> None:
        nonlocal last_plain
        name = f"{stages.get(step.name, '')} › {step.name.replace('-', ' ')}"
        if event == "ended":
            came_out = step.last_progress if step.status == "ran" else step.status
            console.print(
                f" {MARKS[step.status]} {name:<36} {step.seconds:7.1f} s  {escape(came_out)}", highlight=False
            )
            return
        line = f"{name}  {escape(step.last_progress)}" if event == "progress" else name
        if status is not None:
            status.update(line)
        elif event == "begun" or time.monotonic() - last_plain > PLAIN_PROGRESS_SECONDS:
            last_plain = time.monotonic()
            console.print(f"   {line} …", highlight=False)

    if status is None:
        yield listen
    else:
        with status:
            yield listen


def make_console() -> Console:
    """A console on this moment's stdout, which stays there while a run redirects its own output."""
    return Console(file=sys.stdout, soft_wrap=True)


def print_steps(console: Console, steps: list[StepResult], stages: dict[str, str], came_out: dict[str, str]) -> None:
    """The table of a run: stage, step, time, cached or run, what came out."""
    table = Table(title="Stages", title_justify="left")
    for column in ("stage", "step", "time", "how", "what came out"):
        table.add_column(column, justify="right" if column == "time" else "left", no_wrap=column != "what came out")
    for step in steps:
        made = step.last_progress or came_out.get(step.name, "")
        table.add_row(
            stages.get(step.name, ""), step.name.replace("-", " "), f"{step.seconds:.1f} s", step.status, escape(made)
        )  # fmt: skip
    console.print(table, soft_wrap=False)


def print_answers(console: Console, answers: list[Answer]) -> None:
    """Questions, answers (the same one over two protocols once), how they came about, and their sources."""
    for answer in {(answer.question, answer.text): answer for answer in answers}.values():
        console.print(f"\n[bold]Q[/] {escape(answer.question)}", highlight=False)
        console.print(f"[bold]A[/] [dim]({answer.status})[/] {escape(answer.text)}", highlight=False)
        seen = list(dict.fromkeys((source.title or source.url, source.url) for source in answer.sources))
        for title, url in seen:
            console.print(f"   [dim]source:[/] {escape(title)} — {url}", highlight=False)
    counts = Counter(answer.status for answer in answers)
    shown = ", ".join(f"{counts[status]} {status}" for status in ("generated", "extracted", "refused"))
    console.print(f"\nAnswers: {shown}.", highlight=False)
