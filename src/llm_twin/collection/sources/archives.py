"""Reading an export's ZIP without ever unpacking it: names are checked, sizes are bounded, links are refused."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from llm_twin.collection.records import Failure
from llm_twin.errors import InputError

MAX_MEMBERS = 200_000
MAX_TOTAL_BYTES = 4_000_000_000


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP for reading. Raises InputError if it is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise InputError(f"{path}: more than {MAX_MEMBERS:,} files in it", "is this an export?")
            yield archive
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path} cannot be read as a ZIP: {error}", "give the export as it was downloaded") from error


def find_member(names: list[str], name: str) -> str | None:
    """The member of this base name that lies highest (exports come with and without a folder around them)."""
    found = [n for n in names if PurePosixPath(n).name.lower() == name.lower()]
    return min(found, key=lambda n: n.count("/"), default=None)


def check_members(archive: zipfile.ZipFile, location: str) -> Iterator[zipfile.ZipInfo | Failure]:
    """The files of an archive in order of name; those that try to lead out of it are failures."""
    for info in sorted(archive.infolist(), key=lambda item: item.filename):
        if info.is_dir():
            continue
        name = info.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.startswith(("/", "\\")) or ".." in parts or (parts and ":" in parts[0]):
            yield Failure(f"{location}!{name}", "path-traversal", "the name leads out of the archive")
        elif stat.S_ISLNK(info.external_attr >> 16):
            yield Failure(f"{location}!{name}", "symlink", "a link instead of a file")
        else:
            yield info


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, location: str, max_bytes: int) -> bytes | Failure:
    """A member's bytes, never more than `max_bytes` of them, whatever its header promises."""
    where = f"{location}!{info.filename}"
    try:
        with archive.open(info) as file:
            content = file.read(max_bytes + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError, ValueError) as error:
        return Failure(where, "damaged", str(error) or type(error).__name__)
    except Exception as error:  # noqa: BLE001  zlib.error and its like, by whichever method the member is packed
        return Failure(where, "damaged", f"{type(error).__name__}: {error}")
    if len(content) > max_bytes:
        return Failure(where, "too-large", f"more than {max_bytes:,} bytes")
    return content
