"""The data-quality report of a collection run: what is there, what is not, and why."""

from __future__ import annotations

import hashlib
import html
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from llm_twin.collection.results import Collected
from llm_twin.documents import Document
from llm_twin.errors import InputError, QualityError
from llm_twin.privacy import mask_pii
from llm_twin.recipes import CollectionRecipe

LENGTH_BOUNDS = (50, 200, 500, 1000, 2000, 5000)  # words
SHORT_WORDS = LENGTH_BOUNDS[0]
MAX_LISTED_FAILURES = 200


@dataclass
class Quality:
    """Counts over the documents of the snapshot, and over the events of the run."""

    collected: Collected
    documents: int = 0
    words: int = 0
    platforms: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    years: Counter[str] = field(default_factory=Counter)
    duplicates: list[tuple[str, str]] = field(default_factory=list)  # (URL, URL that has the same words)
    undated: int = 0
    untitled: int = 0
    short: int = 0  # articles of fewer than SHORT_WORDS words

    @property
    def shares(self) -> dict[str, float]:
        """What thresholds are set on: shares of the documents, but `failed` of the items that were tried and
        `vanished` of the documents that were there before."""
        counts, documents = self.collected.counts, max(1, self.documents)
        known = sum(counts[name] for name in ("changed", "unchanged", "gone"))
        spoken = self.languages.total() - self.languages["unknown"]
        main = max((n for language, n in self.languages.items() if language != "unknown"), default=0)
        return {
            "failed": self.collected.failed_share,
            "vanished": counts["gone"] / max(1, known),
            "duplicate": len(self.duplicates) / documents,
            "short": self.short / documents,
            "undated": self.undated / documents,
            "foreign": (spoken - main) / documents,
        }

    def metrics(self) -> dict[str, float]:
        """Figures for a step's metrics: numbers only, names in snake case."""
        counts = self.collected.counts
        return {
            "documents": self.documents,
            "words": self.words,
            "inserted": counts["inserted"],
            "changed": counts["changed"],
            "unchanged": counts["unchanged"],
            "vanished": counts["gone"],
            "failed": len(self.collected.failures),
            **{f"{name}_share": round(share, 4) for name, share in self.shares.items()},
            "duplicates": len(self.duplicates),
            "masked": sum(self.masked.values()),
            "undated": self.undated,
        }


def measure_quality(collected: Collected, documents: Iterable[Document]) -> Quality:
    """Look at every document once."""
    quality = Quality(collected)
    first_with: dict[str, str] = {}
    for document in documents:
        words = re.findall(r"\w+", document.text.casefold())
        quality.documents += 1
        quality.words += len(words)
        quality.platforms[document.platform] += 1
        quality.kinds[document.kind] += 1
        quality.languages[document.language or "unknown"] += 1
        quality.lengths[_length_class(len(words))] += 1
        quality.years[str(document.published.year) if document.published else "unknown"] += 1
        quality.masked.update(mask_pii(document.text).counts)
        quality.undated += document.published is None
        quality.untitled += not document.title and document.kind == "article"
        quality.short += document.kind == "article" and len(words) < SHORT_WORDS
        digest = hashlib.sha256(" ".join(words).encode()).hexdigest()
        if digest in first_with:
            quality.duplicates.append((document.url, first_with[digest]))
        else:
            first_with[digest] = document.url
    return quality


_MEANINGS = {
    "failed": "of the items failed",
    "vanished": "of the documents that were there are gone from their sources",
    "duplicate": "of the documents have the words of another",
    "short": f"of the documents are articles of fewer than {SHORT_WORDS} words",
    "undated": "of the documents have no date",
    "foreign": "of the documents are in another language than most",
}


def find_breaches(quality: Quality, recipe: CollectionRecipe) -> list[str]:
    """What crosses the recipe's thresholds, a line each; every line names the key to change."""
    lines = [
        f"{share:.0%} {_MEANINGS[name]}, {limit:.0%} allowed (max_{name}_share)"
        for name, share in quality.shares.items()
        if share > (limit := getattr(recipe, f"max_{name}_share"))
    ]
    for name, found in (("documents", quality.documents), ("words", quality.words)):
        if found < (wanted := getattr(recipe, f"min_{name}")):
            lines.append(f"{found:,} {name}, at least {wanted:,} wanted (min_{name})")
    return lines


def check_quality(quality: Quality, recipe: CollectionRecipe) -> None:
    """Raise InputError if no source gave anything, QualityError if the run crosses one of the recipe's thresholds."""
    collected = quality.collected
    if not collected.sources:
        raise InputError("the recipe names no sources", "list them under collection.sources, or in a sources.yaml")
    if all(source.problem for source in collected.sources):
        source = collected.sources[0]
        raise InputError(
            f"no source could be collected: {source.location}: {source.problem}",
            "check the address in a browser, or the file; then mend the recipe's sources",
        )
    breaches = find_breaches(quality, recipe)
    if breaches:
        first = collected.failures[0] if collected.failures else None
        detail = f"; the first failure: {first.url}: {first.reason}: {first.detail}" if first else ""
        raise QualityError(
            "; ".join(breaches) + detail,
            "see the quality report; mend the sources, or change the threshold under `collection` in the recipe",
        )


def _length_class(words: int) -> str:
    below = 0
    for bound in LENGTH_BOUNDS:
        if words < bound:
            return f"{below} to {bound - 1}"
        below = bound
    return f"{below} or more"


Table = tuple[str, list[str], list[list[str]]]


def _tables(quality: Quality) -> list[Table]:
    collected = quality.collected
    failures = collected.failures
    tables: list[Table] = [
        (
            "Sources",
            ["source", "type", "new", "changed", "unchanged", "vanished", "duplicate", "failed", "seconds", "problem"],
            [
                [
                    *(s.location, s.name),
                    *(str(s.counts[n]) for n in ("inserted", "changed", "unchanged", "gone", "duplicate")),
                    *(str(len(s.failures)), f"{s.seconds:.1f}", s.problem),
                ]
                for s in collected.sources
            ],
        ),
        ("Failures by reason", ["reason", "items"], _rows(Counter(f.reason for f in failures))),
        ("Documents by platform", ["platform", "documents"], _rows(quality.platforms)),
        ("Documents by kind", ["kind", "documents"], _rows(quality.kinds)),
        ("Documents by language", ["language", "documents"], _rows(quality.languages)),
        ("Documents by words", ["words", "documents"], sorted(_rows(quality.lengths), key=_first_number)),
        ("Documents by year", ["year", "documents"], sorted(_rows(quality.years))),
        ("Masked in the views for retrieval and training", ["kind", "found"], _rows(quality.masked)),
        ("Same words under two addresses", ["address", "same as"], [list(pair) for pair in quality.duplicates[:50]]),
        (
            "What failed",
            ["item", "reason", "detail"],
            [[f.url, f.reason, f.detail] for f in failures[:MAX_LISTED_FAILURES]],
        ),
    ]
    return [table for table in tables if table[2]]


def _rows(counts: Counter[str]) -> list[list[str]]:
    return [[name, f"{n:,}"] for name, n in counts.most_common()]


def _first_number(row: list[str]) -> int:
    return int(re.match(r"\d+", row[0])[0])  # type: ignore[index]


def _summary(quality: Quality) -> str:
    collected = quality.collected
    return (
        f"{quality.documents:,} documents, {quality.words:,} words of {', '.join(collected.authors) or 'nobody'}; "
        f"{len(collected.failures):,} items failed ({collected.failed_share:.0%}); "
        f"{quality.undated:,} without a date; snapshot {collected.snapshot}."
    )


def render_markdown(quality: Quality) -> str:
    """The report as Markdown."""
    lines = ["# Data quality", "", _summary(quality), ""]
    for title, header, rows in _tables(quality):
        lines += [f"## {title}", "", f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
        lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def write_reports(quality: Quality, page: Path, text: Path) -> None:
    """The report as HTML at `page` and as Markdown at `text`."""
    page.write_text(render_html(quality), encoding="utf-8")
    text.write_text(render_markdown(quality), encoding="utf-8")


def render_html(quality: Quality) -> str:
    """The report as one HTML page that needs nothing else."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Data quality</title><style>"
        "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse;margin-bottom:1.5em}th,td{text-align:left;padding:.2em .8em;"
        "border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}</style></head><body>"
        f"<h1>Data quality</h1><p>{html.escape(_summary(quality))}</p>"
    ]
    for title, header, rows in _tables(quality):
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        parts.append(f"<h2>{html.escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return "".join(parts) + "</body></html>"
