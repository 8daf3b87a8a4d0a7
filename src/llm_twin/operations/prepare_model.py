"""`python -m llm_twin.operations.prepare_model --model seedling --output DIR`: a base model into a pod's volume.

For a cluster that has no trained model yet: the seedling is trained on the spot in a few minutes. A folder that
already holds a model is left as it is, so a restarted container does not train again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from llm_twin.errors import TwinError


def prepare_model(model: str, output: Path) -> bool:
    """Put the base model `model` into `output` unless it holds one; whether it did. Raises ModelError."""
    from llm_twin.recipe_training import TrainingRecipe
    from llm_twin.training.base import prepare_base

    if (output / "config.json").is_file():
        return False
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "model"
        prepare_base(TrainingRecipe(base_model=model), made, Path(scratch) / "cache")
        for file in sorted(
            made.iterdir(), key=lambda path: path.name == "config.json"
        ):  # config.json last: it says "done"
            (output / file.name).write_bytes(file.read_bytes())
    return True


def main(arguments: list[str] | None = None) -> None:
    """Parse, prepare, print."""
    parser = argparse.ArgumentParser(prog="llm_twin.operations.prepare_model", description=__doc__)
    parser.add_argument("--model", default="seedling", help="seedling, a hub id, or a folder")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        print("made" if prepare_model(options.model, options.output) else "already there", flush=True)
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
