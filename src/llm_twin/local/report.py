"""The HTML report of a run: its stages, its answers with sources, and each stage's own report beside it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from llm_twin.documents import Answer


def write_report(
    folder: Path,
    title: str,
    steps: Sequence[Mapping[str, Any]],
    answers: Sequence[Answer],
    stage_reports: Mapping[str, Path],
) -> Path:
    """Write `folder`/index.html and copies of the stages' reports; returns the page's path.

    `steps` are mappings with stage, name, seconds, status and made (what came out).
    """
    folder.mkdir(parents=True, exist_ok=True)
    links: dict[str, str] = {}
    for name, source in stage_reports.items():
        target = folder / f"{name}.html"
        shutil.copyfile(source, target)
        links[name] = target.name
    environment = Environment(loader=PackageLoader("llm_twin.local", "templates"), autoescape=True)
    page = environment.get_template("run_report.html.jinja").render(
        title=title,
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        steps=steps,
        total_seconds=sum(step["seconds"] for step in steps),
        answers=list({(answer.question, answer.text): answer for answer in answers}.values()),
        counts=Counter(answer.status for answer in answers),
        links=links,
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    return index
