"""S3 for operations: a client from the environment, and `s3://bucket/prefix` taken apart."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from llm_twin.errors import InputError


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
