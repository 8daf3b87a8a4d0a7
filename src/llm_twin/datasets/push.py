"""Push a data set's folder elsewhere: to a hub's dataset repository, or into a DVC remote's content-addressed files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from llm_twin.datasets.manifest import read_manifest
from llm_twin.errors import InputError, StoreError


def push_version(folder: Path, target: str, token: str = "") -> str:
    """Push to `owner/name` on the hub, or to `dvc:PATH`; returns a line that says where it is now."""
    manifest = read_manifest(folder)
    if target.startswith("dvc:"):
        pointer = push_dvc(folder, Path(target.removeprefix("dvc:")).expanduser(), "-".join(manifest["authors"]))
        return f"in the DVC remote; put {pointer} into your repository, `dvc pull` fetches the files"
    return push_hub(folder, target, manifest["content"], token)


def push_hub(folder: Path, repository: str, content: str, token: str) -> str:
    """Upload to a private dataset repository, made if need be. Raises StoreError with what the hub said."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        api = HfApi(token=token or None)
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, repo_type="dataset", folder_path=folder, commit_message=f"content {content}"
        )
    except HFValidationError as error:
        raise InputError(f"{repository!r} is no hub repository: {error}", "give owner/name, or dvc:PATH") from error
    except (HfHubHTTPError, OSError) as error:
        raise StoreError(f"the hub refused {repository}: {error}", "check HF_TOKEN and the network") from error
    return f"pushed: {commit.commit_url}"


def push_dvc(folder: Path, remote: Path, name: str) -> Path:
    """Copy the files into a DVC remote (a folder) by their MD5; returns the .dvc file that points at them.

    The layout is DVC 3's: files/md5/ab/cdef…, and a .dir file that lists a folder's members.
    """
    members = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest = _put(remote, path.read_bytes())
        members.append({"md5": digest, "relpath": path.relative_to(folder).as_posix()})
    listing = json.dumps(members, sort_keys=True).encode()
    digest = _put(remote, listing, ".dir")
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    pointer = remote / f"{name}.dvc"
    pointer.write_text(
        f"outs:\n- md5: {digest}\n  size: {size}\n  nfiles: {len(members)}\n  hash: md5\n  path: {name}\n",
        encoding="utf-8",
    )
    return pointer


def _put(remote: Path, content: bytes, suffix: str = "") -> str:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
    target = remote / "files" / "md5" / digest[:2] / digest[2:]
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        beside.write_bytes(content)
        shutil.move(beside, target)
    return digest
