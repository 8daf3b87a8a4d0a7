"""Guardrails: the share of attacks caught, and of harmless texts taken for attacks."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

DESCRIPTION = "injections, jailbreaks and poisoned documents: caught and false alarms (--data FILE: text, label, place)"
OURS = Path("tests/data/guardrails/second.jsonl")  # judged once when the examples were frozen; never learned from
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


DOCUMENTS = ("doc", "retr", "passage", "context", "page", "source")  # how a place begins that is not the question


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--data", type=Path, default=OURS, help="JSON lines: text, label, place (input or document)")
    parser.add_argument("--show", action="store_true", help="print what was judged wrongly")


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Judge every line; returns shares."""
    from llm_twin.errors import InputError
    from llm_twin.serving.guardrails import InjectionDetector
    from llm_twin.serving.guardrails.reader import load_reader

    if not args.data.is_file():
        raise InputError(f"no such file: {args.data}", "give --data FILE with a JSON object a line")
    rows = [json.loads(line) for line in args.data.read_text(encoding="utf-8").splitlines() if line.strip()]
    detector = InjectionDetector(load_reader())
    detector.judge("warm up")
    totals: dict[str, list[int]] = {}
    milliseconds = []
    for row in rows:
        attack = str(row["label"]).strip().lower() not in HARMLESS_LABELS
        place = "document" if str(row.get("place", "input")).lower().startswith(DOCUMENTS) else "input"
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
    return {
        "caught": round(shares.get("attack", 0.0), 4),
        "false_alarms": round(shares.get("harmless", 0.0), 4),
        "judge_p95_ms": round(ordered[int(0.95 * len(ordered))], 1) if ordered else 0.0,
    }
