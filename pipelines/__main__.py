"""`python -m pipelines compile|list|keys`: the pipelines as IR YAML for Kubeflow. (`twin run` runs them.)"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llm_twin.errors import TwinError
from llm_twin.recipe_training import NodePool
from llm_twin.recipes import load_recipe
from pipelines.catalogue import NAMES, build_pipeline, describe_recipes, find_recipe
from pipelines.kubeflow import compile_pipeline
from pipelines.options import BuildOptions


def main() -> int:
    """Parse, compile, print."""
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the pipelines")
    commands.add_parser("keys", help="every key of a recipe, as the Markdown of docs/recipes.md")
    compile_parser = commands.add_parser("compile", help="write IR YAML for Kubeflow Pipelines")
    compile_parser.add_argument("name", nargs="?", default="all", choices=["all", *NAMES])
    compile_parser.add_argument("--recipe", help="its node pool sets the Kubernetes settings of GPU steps")
    compile_parser.add_argument("--output", type=Path, default=Path("dist/pipelines"), help="folder to write to")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print("\n".join(NAMES))
        return 0
    if arguments.command == "keys":
        print(describe_recipes(), end="")
        return 0
    try:
        pool = load_recipe(find_recipe(arguments.recipe)).node_pool if arguments.recipe else NodePool()
        options = BuildOptions(pool=pool, code_from_image=True)
        for name in NAMES if arguments.name == "all" else [arguments.name]:
            target = arguments.output / f"{name}.yaml"
            compile_pipeline(build_pipeline(name, options), target)
            print(f"{name}: {target} ({target.stat().st_size:,} bytes)")
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
