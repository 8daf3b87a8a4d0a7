"""What a TrainJob's pods run: `torchrun -m llm_twin.training.job --step sft --base … --samples … --out …`.

Every process trains; the first of them writes. Checkpoints lie in `--work`, on a volume that all nodes share.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from llm_twin.recipes import TrainingRecipe


def main() -> None:
    """Train one step as the recipe (JSON, or @FILE) says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", choices=("sft", "dpo"), default="sft")
    parser.add_argument("--recipe", required=True)
    for name in ("base", "samples", "out", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    args = parser.parse_args()
    content = Path(args.recipe[1:]).read_text(encoding="utf-8") if args.recipe.startswith("@") else args.recipe
    recipe = TrainingRecipe.model_validate(json.loads(content))
    if args.step == "sft":
        from llm_twin.training.sft import train_sft

        train_sft(args.base, args.samples, recipe, args.out, args.work)
    else:
        from llm_twin.training.dpo import train_dpo

        train_dpo(args.base, args.adapter, args.samples, recipe, args.out, args.work)


if __name__ == "__main__":
    main()
