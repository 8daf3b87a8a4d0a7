"""The official export ZIPs of Medium, LinkedIn and Substack: which one is it, and what is in it."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import Literal

ExportKind = Literal["medium", "linkedin", "substack"]


def identify_export(location: str) -> ExportKind | None:
    """Whose export a ZIP is, by the names in it; None if it is none that we know, or no ZIP."""
    path = Path(location).expanduser()
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        return None
    bases = {name.name.lower() for name in names}
    if "posts.csv" in bases:
        return "substack"
    if bases & {"shares.csv", "profile.csv", "connections.csv"} or any("Articles" in name.parts for name in names):
        return "linkedin"
    if any("posts" in name.parts[:-1] and name.suffix == ".html" for name in names):
        return "medium"
    return None
