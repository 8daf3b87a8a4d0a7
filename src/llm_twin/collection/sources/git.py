"""A git repository as one document: README, docs and code, and who wrote which file.

Clones (or reads) a URL, a bundle or a folder with the git program, without a work tree, hooks or submodules.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from llm_twin.collection.http.addresses import is_public
from llm_twin.collection.records import Event, Found, ItemError, canonicalize_url
from llm_twin.collection.sources.context import Context, existing_path, is_url
from llm_twin.collection.sources.repository import Contribution, is_wanted, make_text
from llm_twin.documents import Author
from llm_twin.errors import InputError, SourceError

NAME = "git"
COMPLETE = True

GIT_TIMEOUT_SECONDS = 300.0
MAX_COMMITS = 20_000
LOG_FORMAT = "--format=%x00%aN%x01%aE%x01%aI"


def matches(location: str) -> bool:
    """A bundle, a URL that ends in .git, or a folder that is a git repository."""
    if is_url(location):
        return urlsplit(location).path.endswith(".git")
    path = Path(location).expanduser()
    return path.suffix == ".bundle" or (path / ".git").exists() or (path / "HEAD").is_file()


async def collect(location: str, context: Context) -> AsyncIterator[Event]:
    """Yield the repository. Raises InputError or SourceError if git cannot read it."""
    folder = Path(tempfile.mkdtemp(prefix="llm-twin-git-"))
    try:
        repository = await open_repository(location, folder, context)
        yield await read_repository(repository, location, context)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def open_repository(location: str, folder: Path, context: Context) -> Path:
    """A bare clone of a location in `folder`, or the folder that the location names."""
    if shutil.which("git") is None:
        raise InputError("the program git is not installed", "install git, or give a GitHub URL")
    if not is_url(location):
        path = existing_path(location)
        if path.is_dir():
            return path
        origin = str(path.absolute())
    else:
        await _check_host(location, context)
        origin = _moved(location, context)
    target = folder / "clone.git"
    await run_git(["clone", "--bare", "--quiet", "--no-local", "--", origin, str(target)], folder, location)
    return target


async def _check_host(location: str, context: Context) -> None:
    """Refuse a host inside the own network unless the recipe names it; git resolves for itself afterwards."""
    host = (urlsplit(location).hostname or "").lower()
    if host in context.fetcher.overrides:
        return
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None)
    except OSError as error:
        raise SourceError(f"{location}: dns: {host} does not resolve", "check the address") from error
    private = [str(entry[4][0]) for entry in found if not is_public(str(entry[4][0]))]
    if private:
        raise SourceError(f"{location}: private-address: {private[0]}", "name the host in connect_to to allow it")


def _moved(location: str, context: Context) -> str:
    parts = urlsplit(location)
    override = context.fetcher.overrides.get((parts.hostname or "").lower())
    return f"{override[0]}://{override[1]}:{override[2]}{parts.path}" if override else location


async def run_git(arguments: list[str], folder: Path, what: str, max_bytes: int = 500_000_000) -> bytes:
    """Run git without its user's configuration, prompts and hooks; its output. Raises SourceError with its words."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "http:https:file",
        "GIT_PROTOCOL_FROM_USER": "0",
        "LC_ALL": "C.UTF-8",
    }
    safe = ["-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", "-c", "core.fsmonitor=false",
            "-c", "http.followRedirects=false", "-c", "core.quotePath=false"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "git", *safe, *arguments,
        cwd=folder, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(GIT_TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise SourceError(f"{what}: git did not finish in {GIT_TIMEOUT_SECONDS:.0f} s", "try a smaller one") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        words = " ".join(errors.decode(errors="replace").split())[-300:]
        raise SourceError(f"{what}: git: {words}", "check that it is a repository that may be read")
    if len(output) > max_bytes:
        raise SourceError(f"{what}: git gave more than {max_bytes:,} bytes", "collect a smaller repository")
    return output


async def read_repository(repository: Path, location: str, context: Context) -> Event:
    """One document of the repository's newest commit on its default branch."""
    head = (await run_git(["rev-parse", "--verify", "HEAD^{commit}"], repository, location)).decode().strip()
    listing = await run_git(["ls-tree", "-r", "-z", "--long", head], repository, location)
    sizes: dict[str, int] = {}
    for line in listing.decode("utf-8", errors="replace").split("\0"):
        match = re.match(r"(\d+) blob (\S+)\s+(\d+)\t(.+)", line, re.DOTALL)
        if match and match[1] != "120000":  # a symbolic link is a blob too
            sizes[match[4]] = int(match[3])
    log = await run_git(
        [
            "log",
            f"--max-count={MAX_COMMITS}",
            "--no-merges",
            "--no-renames",
            LOG_FORMAT,
            "--numstat",
            head,
        ],
        repository,
        location,
    )
    contributions, first, last = read_log(log.decode("utf-8", errors="replace"))
    wanted = [path for path in sizes if is_wanted(path, sizes[path])]
    mine = pick_own_files(wanted, contributions, context.author)
    contents = await _read_files(repository, head, mine, location)
    name = repository_name(location)
    text, listed = make_text(contents)
    if not text.strip():
        raise ItemError(location, "empty", "no README, docs or code of this author in it")
    url = location if is_url(location) else f"git://{name}"
    origin = await _origin_url(repository, location)
    people = sorted({c.name for c in contributions})
    metadata: dict[str, Any] = {
        "name": name,
        "commit": head,
        "files": [{"path": path, "authors": authors_of(path, contributions)} for path in listed],
        "contributors": people,
    }
    hints = {"title": name, "published": first, "updated": last, "metadata": metadata}
    return Found(
        url=canonicalize_url(origin or url) if is_url(origin or url) else url,
        platform="github",
        kind="repository",
        raw=head.encode() + b"\n" + text.encode(),
        media="markdown",
        hints=hints,
        text=text,
    )


async def _origin_url(repository: Path, location: str) -> str:
    """Where a local clone came from, without .git and without credentials; the location itself if it is a URL."""
    if is_url(location):
        found = location
    else:
        try:
            found = (await run_git(["config", "--get", "remote.origin.url"], repository, location)).decode().strip()
        except SourceError:
            return ""
    parts = urlsplit(found)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.removesuffix('.git')}"


def repository_name(location: str) -> str:
    """The repository's name: the last part of its path without .git or .bundle."""
    last = urlsplit(location).path.rstrip("/").split("/")[-1] if is_url(location) else Path(location).absolute().name
    return re.sub(r"\.(git|bundle)$", "", last)


def read_log(log: str) -> tuple[list[Contribution], str, str]:
    """(who added how many lines to which file, date of the first commit, of the last) of `git log --numstat`."""
    added: dict[tuple[str, str, str], int] = {}
    dates: list[str] = []
    for commit in log.split("\0")[1:]:
        head, *lines = commit.split("\n")
        name, email, when = (head.split("\x01") + ["", ""])[:3]
        dates.append(when)
        for line in lines:
            parts = line.split("\t")
            if len(parts) == 3 and parts[0].isdigit():
                key = (name, email.lower(), parts[2])
                added[key] = added.get(key, 0) + int(parts[0])
    contributions = [Contribution(*key, lines) for key, lines in added.items()]
    return contributions, dates[-1] if dates else "", dates[0] if dates else ""


def pick_own_files(paths: list[str], contributions: list[Contribution], author: Author) -> list[str]:
    """The files that the author wrote at least half of; all of them if the history does not know the author."""
    own: dict[str, int] = {}
    whole: dict[str, int] = {}
    for c in contributions:
        whole[c.path] = whole.get(c.path, 0) + c.lines
        if is_author(c, author):
            own[c.path] = own.get(c.path, 0) + c.lines
    if not own:
        return paths
    return [path for path in paths if own.get(path, 0) * 2 >= whole.get(path, 0) and own.get(path, 0) > 0]


def is_author(contribution: Contribution, author: Author) -> bool:
    """Whether a commit's name or e-mail is the author's."""
    if author.email and contribution.email == author.email.lower():
        return True
    return contribution.name.casefold().split() == author.name.casefold().split()


def authors_of(path: str, contributions: list[Contribution]) -> list[dict[str, Any]]:
    """[{name, lines}] of a file, most lines first."""
    lines: dict[str, int] = {}
    for c in contributions:
        if c.path == path:
            lines[c.name] = lines.get(c.name, 0) + c.lines
    return [{"name": name, "lines": n} for name, n in sorted(lines.items(), key=lambda item: (-item[1], item[0]))]


async def _read_files(repository: Path, commit: str, paths: list[str], location: str) -> dict[str, bytes]:
    contents = {}
    for path in sorted(paths, key=lambda p: (PurePosixPath(p).name.lower() != "readme.md", p)):
        contents[path] = await run_git(["cat-file", "blob", f"{commit}:{path}"], repository, location)
    return contents
