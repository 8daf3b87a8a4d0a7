"""Backup and restore of the home folder: one .tar.gz, written beside and then put in place."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from llm_twin import progress
from llm_twin.errors import InputError
from llm_twin.local.home import SCHEMA_VERSION, Home, exclusive

LEFT_OUT = ("cache", "run", "logs")  # can be made again, or belongs to living processes


def backup_home(home: Home, target: Path, *, with_cache: bool = False) -> int:
    """Write all of `home` but caches, logs and locks to `target`; returns its size in bytes.

    Raises InputError while a command uses the home (a database copied half-written is no backup).
    """
    if not target.parent.is_dir():
        raise InputError(f"no such folder: {target.parent}", "make it first, or name another file")
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    left_out = tuple(name for name in LEFT_OUT if not (with_cache and name == "cache"))
    try:
        with exclusive(home, "use", "wait for it to end or stop it, then run the backup again"):
            files = [p for p in sorted(home.root.rglob("*")) if p.relative_to(home.root).parts[0] not in left_out]
            with tarfile.open(beside, "w:gz") as archive:
                for path in progress.track(files, "backup"):
                    archive.add(path, arcname=str(path.relative_to(home.root)), recursive=False)
        beside.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}", "name another file") from error
    finally:
        beside.unlink(missing_ok=True)
    return target.stat().st_size


def restore_home(archive: Path, root: Path, *, replace: bool = False) -> int:
    """Unpack a backup to `root`; returns how many files. An existing home is only replaced when told so.

    Raises InputError for a file that is no backup, a path that leaves the folder, or an unknown schema version.
    """
    if not archive.is_file():
        raise InputError(f"no such file: {archive}", "give the file that `twin backup` wrote")
    if root.exists() and any(root.iterdir()) and not replace:
        raise InputError(f"{root} is not empty", "add --replace to put the backup in its place")
    beside = root.with_name(f".{root.name}.{os.getpid()}.part")
    try:
        beside.mkdir(parents=True)
        with tarfile.open(archive) as content:
            content.extractall(beside, filter="data")  # refuses absolute paths, links out and devices
        version = (beside / "schema_version").read_text().strip()
        if version != str(SCHEMA_VERSION):
            raise InputError(f"{archive} has schema version {version}", f"this llm-twin knows {SCHEMA_VERSION}")
        count = sum(1 for path in beside.rglob("*") if path.is_file())
        if root.exists():
            shutil.rmtree(root)
        beside.replace(root)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            f"{archive} is not a backup of llm-twin: {error}", "give the file `twin backup` wrote"
        ) from error
    finally:
        if beside.exists():
            shutil.rmtree(beside)
    return count
