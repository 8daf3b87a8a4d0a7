"""S3 for operations: a client from the environment, and `s3://bucket/prefix` taken apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_twin.errors import InputError, StoreError


def connect_objects() -> Any:
    """A boto3 S3 client; address, region and keys from the AWS_… variables, path-style as any S3 service takes it."""
    import boto3
    from botocore.config import Config

    style = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 8, "mode": "standard"})
    return boto3.client("s3", endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or None, config=style)


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/prefix` as bucket and prefix (without slashes around it). Raises InputError."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise InputError(f"{uri!r} is no s3:// address", "give it as s3://bucket/prefix")
    return parts.netloc, parts.path.strip("/")


def read_object(place: str) -> bytes:
    """The content of a file, or of an s3:// object. Raises InputError, StoreError."""
    if not place.startswith("s3://"):
        try:
            return Path(place).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {place}: {error.strerror}", "give a file or an s3:// address") from error
    bucket, key = split_uri(place)
    with _named(place):
        return bytes(connect_objects().get_object(Bucket=bucket, Key=key)["Body"].read())


def write_object(place: str, content: bytes) -> None:
    """Write an s3:// object. Raises InputError, StoreError."""
    bucket, key = split_uri(place)
    with _named(place):
        connect_objects().put_object(Bucket=bucket, Key=key, Body=content)


@contextmanager
def _named(place: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreError(f"{place}: {error}", "check the AWS_ variables and the address") from error
