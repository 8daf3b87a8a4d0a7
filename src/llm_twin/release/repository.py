"""The git repository that a release is made in: which commit, and whether anything is uncommitted."""

from __future__ import annotations

import subprocess
from pathlib import Path

from llm_twin.errors import InputError


def find_root(start: Path) -> Path:
    """The work tree's root. Raises InputError outside of one, or where it holds no overlays."""
    root = Path(_git(start, "rev-parse", "--show-toplevel"))
    if not (root / "kustomize" / "overlays").is_dir():
        raise InputError(f"{root} holds no kustomize/overlays", "run it in a clone of the repository")
    return root


def head_commit(root: Path) -> str:
    """The commit that is checked out, 40 hex digits."""
    return _git(root, "rev-parse", "HEAD")


def require_clean(root: Path) -> None:
    """Raises InputError if anything is changed, staged or untracked: a release is made of commits."""
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        named = ", ".join(line[3:] for line in changed[:3])
        raise InputError(f"the work tree is dirty: {named}{more}", "commit or stash it first")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise InputError("git is not installed", "install it") from error
    if done.returncode:
        raise InputError(f"git {arguments[0]}: {done.stderr.strip()}", "run it in a clone of the repository")
    return done.stdout.rstrip("\n")
