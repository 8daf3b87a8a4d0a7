"""Labelling sheets as files: rows to and from CSV, as spreadsheets read and write it, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from llm_twin.errors import InputError

Row = dict[str, str]
JSON_SUFFIXES = (".jsonl", ".json")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run when a cell begins with it


def write_rows(sheet: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write the rows beside `sheet` and then in its place. Raises InputError for a suffix that is none of ours."""
    if sheet.suffix.lower() not in (".csv", *JSON_SUFFIXES):
        raise InputError(
            f"a sheet cannot be a {sheet.suffix or 'file without suffix'}: {sheet}", "name it .csv or .jsonl"
        )
    sheet.parent.mkdir(parents=True, exist_ok=True)
    beside = sheet.with_name(f".{sheet.name}.{os.getpid()}")
    if _is_jsonl(sheet):
        lines = (json.dumps({name: row.get(name, "") for name in columns}, ensure_ascii=False) for row in rows)
        beside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    else:
        with beside.open("w", encoding="utf-8-sig", newline="") as file:  # the mark lets spreadsheets see UTF-8
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({name: _guard(row.get(name, "")) for name in columns} for row in rows)
    beside.replace(sheet)


def read_rows(sheet: Path, needed: Sequence[str]) -> tuple[list[str], list[tuple[int, Row]]]:
    """The columns, and the rows with their numbers as a spreadsheet or an editor counts them.

    Commas, semicolons and tabs are read, as spreadsheets of different countries write them. Raises InputError when
    the file cannot be read, is none, or lacks one of the columns `needed`.
    """
    try:
        text = sheet.read_bytes().decode("utf-8-sig")  # line breaks in cells stay as they are
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {sheet}: {error}", "give a CSV or JSON-lines file in UTF-8") from error
    columns, rows = _parse_jsonl(sheet, text) if _is_jsonl(sheet) else _parse_csv(text)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(f"{sheet} has no column {', '.join(missing)}", "keep the header row as exported")
    return columns, rows


def _parse_csv(text: str) -> tuple[list[str], list[tuple[int, Row]]]:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name for name in reader.fieldnames or [] if name]
    rows = [
        (number, {name: _unguard(row.get(name) or "") for name in columns})
        for number, row in enumerate(reader, start=2)
        if any(value for value in row.values())
    ]
    return columns, rows


def _parse_jsonl(sheet: Path, text: str) -> tuple[list[str], list[tuple[int, Row]]]:
    columns: dict[str, None] = {}
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = {name: "" if value is None else str(value) for name, value in json.loads(line).items()}
        except (ValueError, AttributeError) as error:
            raise InputError(f"{sheet}, line {number}: {error}", "each line must be a JSON object") from error
        columns |= dict.fromkeys(row)
        rows.append((number, row))
    return list(columns), rows


def _is_jsonl(sheet: Path) -> bool:
    return sheet.suffix.lower() in JSON_SUFFIXES


def _guard(value: str) -> str:
    """A cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if value.startswith(FORMULA) else value


def _unguard(value: str) -> str:
    return value[1:] if value.startswith("'") and value[1:].startswith(FORMULA) else value
