"""The HTML report of a data set: counts, what was dropped and why, leaks, and samples to read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from llm_twin.datasets.build import SPLITS, BuiltDataset

EXAMPLES = 3


def render_report(built: BuiltDataset, manifest: dict[str, Any]) -> str:
    """One self-contained HTML page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.jinja").render(
        manifest=manifest,
        splits=SPLITS,
        strata=_strata(built),
        kinds=Counter((s.kind, s.instruction_source) for s in built.instructions).most_common(),
        dropped={
            name: [{"text": s.output[:240], "url": s.url, "detail": detail} for s, detail in taken[:EXAMPLES]]
            for name, taken in built.dropped.samples.items()
        },
        leaks=built.leaks,
        llm=built.llm,
        quality=built.quality,
        samples=built.instructions[:: max(1, len(built.instructions) // 6)][:6],
        pairs=built.preferences[:: max(1, len(built.preferences) // 4)][:4],
    )


def _strata(built: BuiltDataset) -> list[tuple[str, str, dict[str, int]]]:
    """(platform, kind, documents by split), in order."""
    table: dict[tuple[str, str], Counter[str]] = {}
    for document in built.documents:
        row = table.setdefault((document.platform, document.kind), Counter())
        row[built.splits[document.document_id]] += 1
    return [(*stratum, dict(row)) for stratum, row in sorted(table.items())]
