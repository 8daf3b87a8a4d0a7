"""What is read with --data: objects a line, or an error that names the line."""

from __future__ import annotations

import pytest

from benchmarks.rows import read_rows
from llm_twin.errors import InputError


def test_rows_are_objects_a_line_and_errors_name_the_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n', encoding="utf-8")
    assert read_rows(path) == [{"a": 1}, {"a": 2}]
    for bad in ("# Heading", "[1]", '{"a": '):
        path.write_text(f'{{"a": 1}}\n{bad}\n', encoding="utf-8")
        with pytest.raises(InputError, match="line 2"):
            read_rows(path)
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "none.jsonl")
