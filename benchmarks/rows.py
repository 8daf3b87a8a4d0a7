"""Rows of a file of JSON lines that somebody names with --data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_twin.errors import InputError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects, a line each. Raises InputError where there is no such file, or a line is no JSON object."""
    if not path.is_file():
        raise InputError(f"no such file: {path}", "give --data FILE with a JSON object a line")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"line {number} of {path} is no JSON object", "give --data FILE with a JSON object a line")
        rows.append(row)
    return rows
