"""Guardrails: the share of attacks caught, and of harmless texts taken for attacks."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.rows import read_rows

if TYPE_CHECKING:
    from llm_twin.serving.guardrails import InjectionDetector
    from llm_twin.serving.guardrails.injection import Place

DESCRIPTION = "injections, jailbreaks and poisoned documents: caught and false alarms (--data FILE: text, label, place)"
OURS = Path(
    "tests/data/guardrails/tester_2.jsonl"
)  # by another hand, when the examples were frozen; never learned from
HARMLESS_LABELS = {
    "harmless",
    "benign",
    "safe",
    "legitimate",
    "legit",
    "normal",
    "clean",
    "ok",
    "good",
    "none",
    "0",
    "false",
}


PARAGRAPH = 600  # characters of a paragraph of posts
MOST_PARAGRAPHS = 1500
DOCUMENTS = ("doc", "retr", "passage", "context", "page", "source")  # how a place begins that is not the question


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--data", type=Path, default=OURS, help="JSON lines: text, label, place (input or document)")
    parser.add_argument("--posts", type=Path, help="a folder of honest Markdown: how much of it is blanked")
    parser.add_argument("--show", action="store_true", help="print what was judged wrongly")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Judge every line; returns shares."""
    from llm_twin.errors import InputError
    from llm_twin.serving.guardrails import InjectionDetector
    from llm_twin.serving.guardrails.reader import load_reader

    rows = read_rows(args.data)
    if lacking := [row for row in rows if not {"text", "label"} <= row.keys()]:
        raise InputError(f"a row without text or label: {str(lacking[0])[:80]}", "give each row text, label and place")
    detector = InjectionDetector(load_reader())
    detector.judge("warm up")
    totals: dict[str, list[int]] = {}
    milliseconds = []
    for row in rows:
        attack = str(row["label"]).strip().lower() not in HARMLESS_LABELS
        place: Place = "document" if str(row.get("place", "input")).lower().startswith(DOCUMENTS) else "input"
        begun = time.perf_counter()
        judged = detector.judge(row["text"], place).attack
        milliseconds.append(1000 * (time.perf_counter() - begun))
        for group in (f"{'attack' if attack else 'harmless'}, {place}", "attack" if attack else "harmless"):
            seen = totals.setdefault(group, [0, 0])
            seen[0] += judged
            seen[1] += 1
        if args.show and judged != attack:
            print(f"  {'missed' if attack else 'false alarm'}: {row['text'][:140]}")
    for group, (judged_so, count) in sorted(totals.items()):
        print(f"{group:<22}{judged_so:>5} of {count:<5} judged an attack ({judged_so / count:.1%})")
    shares = {group: judged_so / count for group, (judged_so, count) in totals.items()}
    ordered = sorted(milliseconds)
    blanked = judge_posts(args.posts, detector, args.show) if args.posts else {}
    return {
        "caught": round(shares.get("attack", 0.0), 4),
        "false_alarms": round(shares.get("harmless", 0.0), 4),
        "judge_p95_ms": round(ordered[int(0.95 * len(ordered))], 1) if ordered else 0.0,
        **blanked,
    }


def judge_posts(folder: Path, detector: InjectionDetector, show: bool) -> dict[str, float]:
    """The shares of honest posts' paragraphs, of some 100 words, that are called attacks or lose a sentence, and of
    their characters that are blanked, and that speak of telling."""
    from llm_twin.errors import InputError
    from llm_twin.support import untell

    paragraphs: list[str] = []
    for path in sorted(folder.rglob("*.md")):
        for block in path.read_text(encoding="utf-8").split("\n\n"):
            if paragraphs and len(paragraphs[-1]) + len(block) < PARAGRAPH:
                paragraphs[-1] += f"\n\n{block}"
            else:
                paragraphs.append(block[: 4 * PARAGRAPH])
    if not paragraphs:
        raise InputError(f"no *.md in {folder}", "give a folder of Markdown posts")
    chosen = paragraphs[:: max(1, len(paragraphs) // MOST_PARAGRAPHS)]
    judged = [one for at in range(0, len(chosen), 8) for one in detector.judge_documents(chosen[at : at + 8])]
    for text, one in zip(chosen, judged, strict=True):
        for start, end in one.spans if show else ():
            print(f"  blanked: {text[start:end][:140]!r}")
    characters = sum(end - start for one in judged for start, end in one.spans)
    told = sum(a != b for text in chosen for a, b in zip(text, untell(text), strict=True))
    return {
        "posts_attacks": round(sum(one.attack for one in judged) / len(judged), 4),
        "posts_losing_a_sentence": round(sum(bool(one.spans) for one in judged) / len(judged), 4),
        "posts_blanked": round(characters / sum(map(len, chosen)), 5),
        "posts_told": round(told / sum(map(len, chosen)), 5),
    }
