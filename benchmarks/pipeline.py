"""The recipe `sample` through `twin run`, as a user runs it: first run, nothing changed, one post changed."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from llm_twin import sample
from llm_twin.errors import ServiceError

DESCRIPTION = "the sample recipe end to end: cold, cached, one post changed, peak memory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--recipe", default="sample", help="the recipe to run")
    parser.add_argument("--home", type=Path, help="keep the state here instead of a temporary folder")


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Three runs of the command in a fresh home; seconds each, and the peak memory of the whole process tree."""
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder) / "home"
        data = Path(folder) / "data"
        shutil.copytree(Path(sample.__file__).parent / "data", data)
        command = [
            sys.executable,
            "-m",
            "llm_twin.cli",
            "run",
            "--recipe",
            arguments.recipe,
            "--sample-data",
            str(data),
        ]
        cold, peak = _measure(command, home)
        cached, _ = _measure(command, home)
        _change_one_post(data)
        changed, _ = _measure(command, home)
    figures = {
        "cold_seconds": round(cold, 1),
        "cached_seconds": round(cached, 1),
        "one_change_seconds": round(changed, 1),
        "peak_mb": round(peak / 1e6),
    }
    for name, value in figures.items():
        print(f"{name:<20} {value:>10,}")
    return figures


def _measure(command: list[str], home: Path) -> tuple[float, float]:
    """Seconds and peak bytes (proportional set size where the kernel tells, summed over the tree) of one run."""
    begun = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, "LLM_TWIN_HOME": str(home)})
    peak = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.5):
            peak = max(peak, _tree_bytes(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    code = process.wait()
    stop.set()
    watcher.join()
    if code:
        raise ServiceError(f"twin run ended with {code}", "see its output above")
    return time.monotonic() - begun, peak


def _tree_bytes(pid: int) -> int:
    total = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0
    for member in family:
        try:
            total += member.memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue  # it ended between the two calls, or this system has no such figure
    return total


def _change_one_post(data: Path) -> None:
    """Add a sentence to one article of the blog, as an author who corrects a piece."""
    page = sorted((data / "blog" / "posts").glob("*.html"))[0]
    head, body = page.read_text(encoding="utf-8").split('itemprop="articleBody"')
    changed = body.replace("</p>", " I've since checked this twice, and it holds.</p>", 1)
    page.write_text(f'{head}itemprop="articleBody"{changed}', encoding="utf-8")
