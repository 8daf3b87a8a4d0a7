"""What the training benchmarks measure on: the samples and models that a run left in LLM_TWIN_HOME."""

from __future__ import annotations

from pathlib import Path

from llm_twin.errors import InputError
from llm_twin.settings import HomeSettings


def find_artifact(name: str, given: Path | None, must_hold: str) -> Path:
    """`given`, or the newest artifact `name` of a run that holds the file `must_hold`. Raises InputError."""
    if given is not None:
        if not (given / must_hold).is_file():
            raise InputError(f"{given} holds no {must_hold}", f"give the folder `{name}` of a run")
        return given
    root = HomeSettings().root / "artifacts" / "content"
    found = [path for path in root.glob(f"*/{name}") if (path / must_hold).is_file()]
    if not found:
        raise InputError(f"no artifact {name!r} under {root}", "run `twin run --recipe sample` first, or name a folder")
    return max(found, key=lambda path: path.stat().st_mtime)
