"""`python components/requirements.py [--extra NAME]… [--without PACKAGE…]`: pyproject's dependencies as pip reads them.

An image installs its packages before our own code is copied, so that a change of code does not install them again.
"""

import argparse
import re
import tomllib
from pathlib import Path


def list_requirements(project: dict, extras: list[str], without: list[str]) -> list[str]:
    """The dependencies of a parsed pyproject `[project]` and its extras, less the packages `without`."""
    listed = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    names = {line: re.split(r"[\s<>=!~\[;]", line, maxsplit=1)[0].lower() for line in listed}
    unknown = set(without) - set(names.values())
    if unknown:
        raise SystemExit(f"error: {', '.join(sorted(unknown))} is no dependency → mend the Dockerfile")
    return [line for line in listed if names[line] not in without]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--without", nargs="*", default=[])
    options = parser.parse_args()
    content = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(list_requirements(content["project"], options.extra, options.without)))
