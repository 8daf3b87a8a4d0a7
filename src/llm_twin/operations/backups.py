"""`python -m llm_twin.operations.backups upload|download|list KIND [FILE]`: dumps in the backup bucket.

Where: LLM_TWIN_BACKUP_URI (`s3://bucket/prefix`). A dump is `prefix/KIND/20260102T030405Z/FILE`. Those older than
LLM_TWIN_BACKUP_KEEP_DAYS (30) go after a successful upload, but never the newest three.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llm_twin.errors import InputError, ServiceError, TwinError
from llm_twin.operations.objects import connect_objects, split_uri

STAMP = "%Y%m%dT%H%M%SZ"
KEPT_AT_LEAST = 3
_KEY = re.compile(r"(?:^|/)(\d{8}T\d{6}Z)/[^/]+$")


def choose_expired(keys: list[str], now: datetime, keep_days: int) -> list[str]:
    """Those of `keys` older than `keep_days`, sparing the newest three; what is no dump's key is left alone."""
    dated = sorted((found[1], key) for key in keys if (found := _KEY.search(key)))
    limit = (now - timedelta(days=keep_days)).strftime(STAMP)
    return [key for stamp, key in dated[:-KEPT_AT_LEAST] if stamp < limit]


def upload(kind: str, file: Path, now: datetime | None = None) -> str:
    """Put `file` into the bucket, then remove what has expired; returns the key. Raises InputError for no file."""
    if not file.is_file() or not file.stat().st_size:
        raise InputError(f"no dump in {file}", "look at the log of the step before: it should have written it")
    bucket, prefix = split_uri(_backup_uri())
    moment = now or datetime.now(UTC)
    client = connect_objects()
    key = "/".join(part for part in (prefix, kind, moment.strftime(STAMP), file.name) if part)
    client.upload_file(str(file), bucket, key)
    stored = client.head_object(Bucket=bucket, Key=key)["ContentLength"]
    if stored != file.stat().st_size:
        raise ServiceError(f"{key} has {stored} bytes, {file} has {file.stat().st_size}", "run the backup again")
    keep_days = int(os.environ.get("LLM_TWIN_BACKUP_KEEP_DAYS", "30"))
    for old in choose_expired(list_keys(client, bucket, prefix, kind), moment, keep_days):
        client.delete_object(Bucket=bucket, Key=old)
    return key


def download(kind: str, file: Path, key: str = "") -> str:
    """Bring the newest dump of `kind` (or the one named) to `file`; returns its key. Raises InputError for none."""
    bucket, prefix = split_uri(_backup_uri())
    client = connect_objects()
    keys = list_keys(client, bucket, prefix, kind)
    if not keys or (key and key not in keys):
        raise InputError(f"no backup {key or kind!r} in {bucket}", "list them with `backups list KIND`")
    chosen = key or keys[-1]
    part = file.with_suffix(file.suffix + ".part")
    client.download_file(bucket, chosen, str(part))
    part.replace(file)
    return chosen


def list_keys(client: Any, bucket: str, prefix: str, kind: str) -> list[str]:
    """Keys of the dumps of `kind`, oldest first."""
    start = "/".join(part for part in (prefix, kind) if part) + "/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return sorted(key for key in keys if _KEY.search(key))


def _backup_uri() -> str:
    uri = os.environ.get("LLM_TWIN_BACKUP_URI", "")
    if not uri:
        raise InputError("LLM_TWIN_BACKUP_URI is not set", "set it to s3://bucket/prefix")
    return uri


def main(arguments: list[str] | None = None) -> None:
    """Parse, act, print."""
    from botocore.exceptions import BotoCoreError, ClientError

    parser = argparse.ArgumentParser(prog="llm_twin.operations.backups", description=__doc__)
    parser.add_argument("action", choices=("upload", "download", "list"))
    parser.add_argument("kind", choices=("mongodb", "postgres", "qdrant"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--key", default="", help="download: another than the newest")
    options = parser.parse_args(arguments)
    try:
        if options.action == "list":
            bucket, prefix = split_uri(_backup_uri())
            print("\n".join(list_keys(connect_objects(), bucket, prefix, options.kind)))
            return
        if options.file is None:
            parser.error("name a file")
        act = upload(options.kind, options.file) if options.action == "upload" else None
        print(act or download(options.kind, options.file, options.key))
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (BotoCoreError, ClientError) as error:
        print(f"error: object storage: {error} → look at AWS_ENDPOINT_URL and the keys", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
