"""Checkpoints that can be trusted: one counts only when it carries the mark that it was written to the end.

A process can be killed at any point of a save, and a disk can fill; transformers' own search would take the newest
folder, half written or not.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from llm_twin.errors import TwinError
from llm_twin.progress import report

MARK = "complete.json"
NAME = re.compile(r"checkpoint-(\d+)$")
RUST_ERROR = re.compile(r"\(os error (\d+)\)")
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES}
WRITER_FAILED = re.compile(r"failed writing|unexpected pos|No space left|enforce fail at inline_container")


def mark_complete(checkpoint: Path) -> None:
    """Note the sizes of all files of a finished checkpoint, after they have reached the disk."""
    sizes = {}
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != MARK):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
        sizes[file.relative_to(checkpoint).as_posix()] = file.stat().st_size
    beside = checkpoint / f".{MARK}"
    with beside.open("w", encoding="utf-8") as handle:
        json.dump(sizes, handle)
        handle.flush()
        os.fsync(handle.fileno())
    beside.replace(checkpoint / MARK)


def is_complete(checkpoint: Path) -> bool:
    """Whether the checkpoint has its mark, and every file the size that the mark says."""
    try:
        sizes = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def last_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`; newer, incomplete ones are removed."""
    if not folder.is_dir():
        return None
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := NAME.search(path.name))]
    for _, checkpoint in sorted(numbered, reverse=True):
        if is_complete(checkpoint):
            return checkpoint
        report(f"{checkpoint.name} was not written to its end: removed")
        shutil.rmtree(checkpoint)
    return None


def guard_checkpoints(trainer: Any) -> None:
    """Make `trainer` mark finished checkpoints, and turn a failed save into an error that says what to do."""
    from transformers import TrainerCallback

    class Mark(TrainerCallback):
        """Marks each checkpoint after the last of its files."""

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            if state.is_world_process_zero and checkpoint.is_dir():
                mark_complete(checkpoint)

    trainer.add_callback(Mark())


def refused_write(error: Exception) -> OSError | None:
    """The operating system's refusal that `error` tells of, or None where it tells of something else.

    torch says it as a RuntimeError of its file writer; tokenizers and safetensors, which are written in Rust, as
    exceptions of their own that end with `(os error NUMBER)`.
    """
    if isinstance(error, OSError):  # a connection that breaks is one too, and no disk's fault
        return error if error.errno in DISK_ERRORS else None
    text = str(error).splitlines()[0] if str(error) else ""
    if found := RUST_ERROR.search(text):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    if isinstance(error, RuntimeError) and WRITER_FAILED.search(text):
        return OSError(errno.ENOSPC, f"writing failed: {text[:120]}")
    return None


def disk_error(error: OSError, folder: Path) -> TwinError:
    """The error to raise when writing under `folder` failed."""
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free / 2**20
    return TwinError(
        f"cannot write a checkpoint to {folder}: {error.strerror or error} ({free:,.0f} MiB free)",
        "free some space, or set LLM_TWIN_HOME to another disk; the next run goes on from the last good checkpoint",
    )
