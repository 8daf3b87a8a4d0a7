"""Sheets for people: responses to judge, or to write; out to CSV or JSON lines, and back as preference pairs.

Who writes and who judges is free: responses from the rules or an LLM (rows as exported) or from a person (the column
`written`), judged by a person (`best`, `worst`) or by an LLM (`llm_samples.judge_pairs`).
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from llm_twin.datasets.manifest import read_manifest
from llm_twin.datasets.preferences import make_pair
from llm_twin.documents import InstructionSample, PreferenceSample, read_jsonl
from llm_twin.errors import InputError

COLUMNS = ("sample_id", "instruction", "response_a", "response_b", "written", "best", "worst", "sure", "why")
RESPONSES = {"a": "response_a", "b": "response_b", "written": "written"}
DEFAULT_SURE = 0.9
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run when a cell begins with it


def export_sheet(folder: Path, sheet: Path, count: int, blank: bool = False) -> int:
    """Write up to `count` training pairs as rows, sides in random order; returns how many.

    Columns: `best` and `worst` take a, b or written; `sure` a number from 0 to 1; `why` free words. With `blank` the
    author's side is left out and `written` is there for a person's own response.
    """
    manifest = read_manifest(folder)
    samples = {s.sample_id: s for s in read_jsonl(folder / "instruction_train.jsonl", InstructionSample)}
    of_output = {(s.document_id, s.output): s for s in samples.values()}
    rows: list[dict[str, Any]] = []
    for pair in read_jsonl(folder / "preference_train.jsonl", PreferenceSample):
        sample = of_output.get((pair.document_id, pair.chosen))
        if sample is None or len(rows) == count:
            continue
        sides = [pair.rejected] if blank else [pair.chosen, pair.rejected]
        if not blank and hashlib.sha256(f"{manifest['seed']}{pair.sample_id}".encode()).digest()[0] % 2:
            sides.reverse()
        texts = {**dict.fromkeys(COLUMNS, ""), "sample_id": sample.sample_id, "instruction": pair.instruction}
        texts.update(zip(("response_a", "response_b"), sides, strict=False))
        rows.append(texts)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    if _is_jsonl(sheet):
        sheet.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        with sheet.open("w", encoding="utf-8-sig", newline="") as file:  # the mark lets spreadsheets see UTF-8
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({name: _guard(value) for name, value in row.items()} for row in rows)
    return len(rows)


def import_sheet(folder: Path, sheet: Path) -> tuple[list[PreferenceSample], int]:
    """The pairs of a sheet that was filled in, and how many rows were not. Raises InputError naming row and column."""
    samples = {s.sample_id: s for s in read_jsonl(folder / "instruction_train.jsonl", InstructionSample)}
    pairs: list[PreferenceSample] = []
    skipped = 0
    for number, row in _read_rows(sheet):
        best = row.get("best", "").strip().lower()
        if not best:
            skipped += 1
            continue
        if row.get("sample_id") not in samples:
            raise InputError(
                f"{sheet}, row {number}: no sample {row.get('sample_id')!r}", "use the sheet's own version"
            )
        worst = row.get("worst", "").strip().lower() or _other(best, row)
        for column, value in (("best", best), ("worst", worst)):
            if value not in RESPONSES or not row.get(RESPONSES[value], "").strip():
                raise InputError(f"{sheet}, row {number}: {column} is {value!r}", "give a, b or written, with its text")
        if best == worst:
            raise InputError(f"{sheet}, row {number}: best and worst are the same", "give two different ones")
        sample = samples[row["sample_id"]]
        chosen, rejected = (_unguard(row[RESPONSES[value]]) for value in (best, worst))
        who = "written and judged by a person" if "written" in (best, worst) else "judged by a person"
        reason = f"{who}: {row['why'].strip()}" if row.get("why", "").strip() else who
        judged = sample.model_copy(update={"output": chosen})
        pairs.append(make_pair(judged, rejected, "person", reason, _sure(row.get("sure", ""), sheet, number)))
    return pairs, skipped


def _read_rows(sheet: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = sheet.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {sheet}: {error}", "give a CSV or JSON-lines file in UTF-8") from error
    if not _is_jsonl(sheet):
        reader = csv.DictReader(text.splitlines(keepends=True))
        if "best" not in (reader.fieldnames or []):
            raise InputError(f"{sheet} has no column `best`", "keep the header row as exported")
        return [(number, {k: v or "" for k, v in row.items() if k}) for number, row in enumerate(reader, start=2)]
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append((number, {key: str(value) for key, value in json.loads(line).items()}))
            except (ValueError, AttributeError) as error:
                raise InputError(f"{sheet}, line {number}: {error}", "each line must be a JSON object") from error
    return rows


def _other(best: str, row: dict[str, str]) -> str:
    """The worst where none is named: the only other response there is."""
    others = [name for name, column in RESPONSES.items() if name != best and row.get(column, "").strip()]
    return others[0] if len(others) == 1 else ""


def _sure(text: str, sheet: Path, number: int) -> float:
    try:
        value = float(text.strip().replace(",", ".") or DEFAULT_SURE)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"{sheet}, row {number}: sure is {text!r}", "give a number from 0 to 1")
    return value


def _guard(value: str) -> str:
    """A cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if value.startswith(FORMULA) else value


def _unguard(value: str) -> str:
    return value[1:] if value.startswith("'") and value[1:].startswith(FORMULA) else value


def _is_jsonl(sheet: Path) -> bool:
    return sheet.suffix.lower() in (".jsonl", ".json")
