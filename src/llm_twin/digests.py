"""Digests of what a step reads: content, recipe sections, and the code that it runs.

A cached step takes these as arguments, so a cache hit means that input, settings and code are all the same; kfp's
own key sees neither an edit in a library nor that two artifacts at different addresses are equal.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).parent
LENGTH = 32  # hexadecimal characters: 128 bits


def digest_bytes(content: bytes) -> str:
    """SHA-256 of `content`, shortened to 128 bits, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def digest_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    return digest_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode())


def digest_path(path: Path) -> str:
    """Digest of a file, or of a folder's relative names and contents."""
    if path.is_file():
        return digest_bytes(path.read_bytes())
    whole = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        whole.update(f"{file.relative_to(path).as_posix()}\0".encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:LENGTH]


@cache
def digest_code(*modules: str) -> str:
    """Digest of `modules` of llm_twin, all they import of llm_twin (functions' own imports too), and the environment.

    Data files beside a package's modules (prompts, word lists) count as its code. Installed distributions count by
    name and version.
    """
    files: set[Path] = set()
    for module in modules:
        _collect(module, files)
    whole = hashlib.sha256(_environment().encode())
    for file in sorted(files):
        whole.update(f"{file.relative_to(PACKAGE_ROOT).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()[:LENGTH]


@cache
def _environment() -> str:
    pairs = {(d.metadata["Name"].lower(), d.version) for d in metadata.distributions() if d.metadata["Name"]}
    return "\n".join(f"{name}=={version}" for name, version in sorted(pairs) if name != "llm-twin")


def _collect(module: str, files: set[Path]) -> None:
    """Add the files of `module`, its parents' __init__ files, and of every llm_twin module that it imports."""
    parts = module.split(".")
    if parts[0] != PACKAGE_ROOT.name:
        return
    base = PACKAGE_ROOT.joinpath(*parts[1:])
    if base.is_dir():
        found = [base / "__init__.py", *(p for p in base.iterdir() if p.is_file() and p.suffix != ".py")]
    else:
        found = [base.with_suffix(".py")]
    found += [PACKAGE_ROOT.joinpath(*parts[1:depth], "__init__.py") for depth in range(1, len(parts))]
    for file in found:
        if file in files or not file.is_file():
            continue
        files.add(file)
        if file.suffix == ".py":
            for name in _imports(file):
                _collect(name, files)


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == PACKAGE_ROOT.name}
