"""`python -m tests.manifest_rules [--overlay NAME] [--crds DIR]`: build and check; prints each problem once."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.manifest_rules.build import OVERLAYS, BuildError, build, combinations, find_kustomize, write_combination
from tests.manifest_rules.check import check
from tests.manifest_rules.schemas import Schemas


def main() -> int:
    """0 if nothing is wrong; 1 if something is; 2 without kustomize or the CRDs."""
    parser = argparse.ArgumentParser(prog="python -m tests.manifest_rules", description=__doc__)
    parser.add_argument("--overlay", choices=OVERLAYS, action="append", help="only these")
    parser.add_argument("--crds", type=Path, default=os.environ.get("LLM_TWIN_CRDS"), help="default: $LLM_TWIN_CRDS")
    options = parser.parse_args()
    command = find_kustomize()
    if command is None:
        print("error: no kustomize of version 5 or later → run scripts/install_kustomize.sh", file=sys.stderr)
        return 2
    if not options.crds or not options.crds.is_dir():
        print("error: no folder of CRDs: their kinds cannot be checked → set LLM_TWIN_CRDS", file=sys.stderr)
        return 2
    begun, schemas = time.monotonic(), Schemas(options.crds)
    problems: dict[str, list[str]] = {}
    count = 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        asked = [(o, chosen) for o in options.overlay or OVERLAYS for chosen in combinations(o)]
        folders = [write_combination(overlay, chosen, Path(scratch)) for overlay, chosen in asked]
        for folder, made in zip(folders, pool.map(lambda f: _try_build(f, command), folders), strict=True):
            count += 1
            found = [made] if isinstance(made, str) else check(made, schemas)
            for problem in found:
                problems.setdefault(problem, []).append(folder.name)
    for problem, names in problems.items():
        print(f"{problem}\n    in {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}")
    print(f"{count} builds, {len(problems)} problems, {time.monotonic() - begun:.0f} s ({' '.join(command)})")
    return 1 if problems else 0


def _try_build(folder: Path, command: list[str]) -> list[dict] | str:
    try:
        return build(folder, command)
    except BuildError as error:
        return f"kustomize: {error}"


if __name__ == "__main__":
    sys.exit(main())
