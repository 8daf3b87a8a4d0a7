"""The features step's page for people: what was kept, what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape

from llm_twin.documents import CleanDocument
from llm_twin.features.cleaning import CleaningReport

MAX_ROWS = 200


def render_report(report: CleaningReport, documents: Iterable[CleanDocument]) -> str:
    """An HTML page; `documents` are those kept."""
    kept = list(documents)
    by_platform = Counter(f"{document.platform} {document.kind}" for document in kept)
    by_language = Counter(document.language or "unknown" for document in kept)
    words = sum(int(document.metadata.get("words", 0)) for document in kept)
    sections = [
        _table("Documents", [("collected", report.documents), ("kept", report.kept), ("words", words)]),
        _table("Kept, by platform and kind", sorted(by_platform.items())),
        _table("Kept, by language", sorted(by_language.items())),
        _table("Left out, by reason", sorted(report.reasons.items()) or [("none", 0)]),
        _table("Personal data masked", sorted(report.masked.items()) or [("none", 0)]),
        _table("Encoding mended", [("documents", report.repaired)]),
    ]
    if report.dropped:
        rows = "".join(
            f"<tr><td>{escape(url)}</td><td>{escape(reason)}</td><td>{escape(detail)}</td></tr>"
            for url, reason, detail in report.dropped[:MAX_ROWS]
        )
        sections.append(
            f"<h2>What was left out</h2><table><tr><th>document</th><th>reason</th><th>kept instead</th></tr>"
            f"{rows}</table>"
        )
    style = (
        "body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left}"
    )
    body = "".join(sections)
    return f"<!doctype html><meta charset=utf-8><title>Features</title><style>{style}</style><h1>Features</h1>{body}"


def _table(title: str, rows: Iterable[tuple[str, int]]) -> str:
    cells = "".join(f"<tr><td>{escape(str(name))}</td><td>{value:,}</td></tr>" for name, value in rows)
    return f"<h2>{escape(title)}</h2><table>{cells}</table>"
