"""Input that no one here wrote: the LLM Engineer's Handbook's own data-warehouse export, collection to datasets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXPORT = Path(os.environ.get("LLM_TWIN_TEST_DATA", "")) / "handbook"


@pytest.mark.skipif(
    not (os.environ.get("LLM_TWIN_TEST_DATA") and EXPORT.is_dir()),
    reason="LLM_TWIN_TEST_DATA/handbook, the handbook's export, is not there",
)
@pytest.mark.timeout(1000)
def test_the_handbooks_export_becomes_a_data_set(tmp_path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLM_TWIN_")}
    done = subprocess.run(
        [sys.executable, "-m", "llm_twin.cli", "run", "--recipe", "handbook", "--from-export", str(EXPORT)],
        env={**kept, "LLM_TWIN_HOME": str(tmp_path / "home")}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    documents = int(re.search(r"(\d+) documents \(", done.stdout)[1])
    chunks = int(re.search(r"([\d,]+) chunks", done.stdout)[1].replace(",", ""))
    samples = int(re.search(r"([\d,]+) instruction samples", done.stdout)[1].replace(",", ""))
    assert documents >= 70, "76 articles, some of them twice"
    assert chunks > 500
    assert samples > 300
    assert "✗" not in done.stdout
