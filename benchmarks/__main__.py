"""`python -m benchmarks NAME [--data DIR]`: a table for people, then one JSON line {"name": …, "figures": {…}}.

Without a name, lists the benchmarks. An absolute time or memory is a target, reported with the machine; a ratio is
the median of interleaved runs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys

import benchmarks
from benchmarks.machine import describe_machine
from llm_twin.errors import TwinError


def main() -> int:
    """Parse, run, print."""
    names = sorted(
        found.name for found in pkgutil.iter_modules(benchmarks.__path__) if found.name not in ("__main__", "machine")
    )
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    modules = {name: module for name, module in modules.items() if hasattr(module, "run")}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", metavar="NAME")
    for name, module in modules.items():
        command = commands.add_parser(name, help=module.DESCRIPTION, description=module.DESCRIPTION)
        module.add_arguments(command)
    arguments = parser.parse_args()
    if arguments.name is None:
        for name, module in modules.items():
            print(f"{name:<12} {module.DESCRIPTION}")
        return 0
    print(f"machine: {describe_machine()}", flush=True)
    try:
        figures = modules[arguments.name].run(arguments)
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"name": arguments.name, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
