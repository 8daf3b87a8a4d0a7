"""Extraction measured against labelled pages: folders of source.html and expected.html.

Where a folder has `expected-metadata.json` too (title, byline, publishedTime, lang), what the page says of itself is
compared with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

DESCRIPTION = "articles out of pages: token F1, paragraphs kept, and the time of each extractor"
BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "div", "td", "figcaption"}


class TextReader(HTMLParser):
    """The text of a page and of its paragraphs, by the standard library's parser."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.paragraphs: list[list[str]] = [[]]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block begins."""
        if tag in BLOCKS:
            self.paragraphs.append([])
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        """A block ends."""
        if tag in BLOCKS:
            self.paragraphs.append([])
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        """Text."""
        self.pieces.append(data)
        self.paragraphs[-1].append(data)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--data", type=Path, required=True, help="a folder of folders with source.html, expected.html")


def run(arguments: argparse.Namespace) -> dict[str, float | int | str]:
    """Mean and least token F1, share of paragraphs kept, and milliseconds a page beside the bare extractors'."""
    import trafilatura
    from lxml import html as lxml_html
    from readability import Document

    from llm_twin.collection.records import ItemError
    from llm_twin.collection.single import extract_record

    folders = sorted(path.parent for path in arguments.data.glob("*/source.html"))
    rows = []
    told: dict[str, list[bool]] = {}
    seconds = {"ours": 0.0, "trafilatura": 0.0, "readability": 0.0}
    extract_record(b"<p>Warm up, please.</p>" * 30, "https://example.org/")
    for folder in folders:
        raw = (folder / "source.html").read_bytes()
        reader = TextReader()
        reader.feed((folder / "expected.html").read_text(encoding="utf-8"))
        expected = "".join(reader.pieces)
        begun = time.process_time()
        record: dict[str, Any] = {}
        with contextlib.suppress(ItemError):
            record = extract_record(raw, f"https://example.org/{folder.name}")
        text = record.get("text", "")
        seconds["ours"] += time.process_time() - begun
        if (folder / "expected-metadata.json").is_file():
            compare_metadata(json.loads((folder / "expected-metadata.json").read_text("utf-8")), record, told)
        begun = time.process_time()
        first = trafilatura.extract(raw, include_comments=False) or ""
        seconds["trafilatura"] += time.process_time() - begun
        begun = time.process_time()
        second = lxml_html.fromstring(Document(raw.decode("utf-8", "replace")).summary()).text_content()
        seconds["readability"] += time.process_time() - begun
        kept = share_of_paragraphs(["".join(p) for p in reader.paragraphs], text)
        rows.append(
            [folder.name, token_f1(text, expected), token_f1(first, expected), token_f1(second, expected), kept]
        )
    print(f"{'page':32} {'ours':>7} {'trafil.':>7} {'readab.':>7} {'paragraphs':>10}")
    for name, ours, first_f1, second_f1, kept in rows:
        print(f"{name[:32]:32} {ours:7.3f} {first_f1:7.3f} {second_f1:7.3f} {kept:10.0%}")
    count = len(rows) or 1
    figures: dict[str, float | int | str] = {
        "pages": len(rows),
        "f1_mean": round(sum(row[1] for row in rows) / count, 4),
        "f1_min": round(min((row[1] for row in rows), default=0.0), 4),
        "f1_mean_trafilatura": round(sum(row[2] for row in rows) / count, 4),
        "f1_mean_readability": round(sum(row[3] for row in rows) / count, 4),
        "f1_mean_better_of_two": round(sum(max(row[2], row[3]) for row in rows) / count, 4),
        "paragraphs_kept": round(sum(row[4] for row in rows) / count, 4),
        **{f"{name}_right": f"{sum(right)} of {len(right)}" for name, right in sorted(told.items())},
        **{f"ms_per_page_{name}": round(1000 * value / count, 1) for name, value in seconds.items()},
    }
    print(json.dumps(figures, indent=1))
    return figures


def compare_metadata(expected: dict[str, Any], record: dict[str, Any], told: dict[str, list[bool]]) -> None:
    """Note for each thing that the label names whether the record has it: the same words, the same day."""
    byline = re.sub(r"^by\s+", "", expected.get("byline") or "", flags=re.IGNORECASE)
    pairs = {
        "title": (tokens_of(expected.get("title") or ""), tokens_of(record.get("title") or "")),
        "author": (tokens_of(byline), tokens_of(record.get("author") or "")),
        "published": ((expected.get("publishedTime") or "")[:10], (record.get("published") or "")[:10]),
        "language": ((expected.get("lang") or "")[:2].lower(), record.get("language") or ""),
    }
    for name, (wanted, found) in pairs.items():
        if wanted:
            told.setdefault(name, []).append(wanted == found)


def tokens_of(text: str) -> list[str]:
    """Words and numbers in lower case."""
    return re.findall(r"\w+", text.casefold())


def token_f1(text: str, expected: str) -> float:
    """F1 of the two multisets of tokens."""
    ours, theirs = Counter(tokens_of(text)), Counter(tokens_of(expected))
    both = sum((ours & theirs).values())
    return 2 * both / (sum(ours.values()) + sum(theirs.values())) if both else float(not ours and not theirs)


def share_of_paragraphs(paragraphs: list[str], text: str) -> float:
    """The share of expected paragraphs (8 words or more) that stand whole within one paragraph of the text."""
    wanted = [tokens for p in paragraphs if len(tokens := tokens_of(p)) >= 8]
    ours = [f" {' '.join(tokens_of(p))} " for p in text.split("\n\n")]
    return sum(any(f" {' '.join(tokens)} " in p for p in ours) for tokens in wanted) / len(wanted) if wanted else 1.0
