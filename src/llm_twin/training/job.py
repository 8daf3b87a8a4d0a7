"""What a TrainJob's pods run: `torchrun -m llm_twin.training.job --step sft --recipe @FILE --place FOLDER`.

Every process trains; the first of them writes. Data, checkpoints and result lie in `--place`, on a volume that all
nodes share (nodes.py puts the data there and takes the result away).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from llm_twin.recipe_training import TrainingRecipe
from llm_twin.training.nodes import write_result
from llm_twin.training.steps import is_first_process, run_dpo, run_sft


def main() -> None:
    """Train one step as the recipe (JSON, or @FILE) says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--recipe", required=True, help="JSON, or @FILE")
    parser.add_argument("--place", type=Path, required=True, help="holds base, samples and, for DPO, adapter")
    parser.add_argument("--code", default="", help="digest of the code, part of the checkpoints' name")
    parser.add_argument("--tracking-uri", default="", help="MLflow's; empty: a SQLite file in --place")
    args = parser.parse_args()
    content = Path(args.recipe[1:]).read_text(encoding="utf-8") if args.recipe.startswith("@") else args.recipe
    recipe = TrainingRecipe.model_validate(json.loads(content))
    place = args.place
    base, samples, trained = place / "base", place / "samples", place / "trained"
    tracking = args.tracking_uri or f"sqlite:///{place / 'mlflow.db'}"
    common = (recipe, trained, place / "report.html", place / "state", tracking, args.code)
    if args.step == "sft":
        result = run_sft(base, samples, *common)
    else:
        result = run_dpo(base, place / "adapter", samples, *common)
    if is_first_process():
        write_result(result, place)


if __name__ == "__main__":
    main()
