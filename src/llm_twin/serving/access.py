"""Who may ask: access keys (hashed at rest, read again when their file changes), rates, quotas, and room.

A key is `twin_<id>_<secret>`. The secret has 256 random bits, so its SHA-256 is as hard to invert as the
secret to guess, and no slow hash is needed; hashes are compared in constant time, an unknown id against a
hash too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_twin.errors import InputError
from llm_twin.serving.http import HttpError
from llm_twin.serving.usage import Usage

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


class AccessKey(BaseModel):
    """One key as it is kept: never the secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str = ""
    hash: str
    twins: list[str] | None = Field(default=None, description="model names; null: all")
    scopes: list[str] = ["ask"]
    per_minute: int = Field(default=120, ge=1)
    per_day: int = Field(default=20_000, ge=1)
    tokens_per_day: int | None = Field(default=None, ge=1, description="the predictor's, read and written; null: any")
    expires: float | None = Field(default=None, description="seconds since 1970")

    @property
    def rights(self) -> str:
        """What the key may do, as one string: keys with the same rights may be given each other's cached answers."""
        twins = "all" if self.twins is None else ",".join(sorted(self.twins))
        return f"{twins} {','.join(sorted(self.scopes))}"


def make_key(
    name: str,
    twins: list[str] | None,
    scopes: list[str],
    per_minute: int,
    per_day: int,
    tokens_per_day: int | None = None,
) -> tuple[str, AccessKey]:
    """A fresh key: the text to hand over once, and what is kept."""
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    kept = AccessKey(
        id=key_id,
        name=name,
        hash=_hash(secret),
        twins=twins,
        scopes=scopes,
        per_minute=per_minute,
        per_day=per_day,
        tokens_per_day=tokens_per_day,
    )
    return f"twin_{key_id}_{secret}", kept


def read_keys(path: Path) -> list[AccessKey]:
    """The keys in a file; none if it is not there. Raises InputError."""
    try:
        return [AccessKey.model_validate(one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, ValidationError, TypeError) as error:
        raise InputError(f"{path} holds no access keys: {error}", "write it with `twin keys`") from error


def write_keys(path: Path, keys: list[AccessKey]) -> None:
    """Write the keys beside `path`, for the owner's eyes only, and then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump([key.model_dump() for key in keys], file, indent=1)
    beside.replace(path)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass
class Gatekeeper:
    """Lets a request in, or says why not."""

    keys_file: Path | None = None
    per_minute_by_address: int = 6000
    max_in_flight: int = 256
    clock: Callable[[], float] = time.monotonic
    usage: Usage = field(default_factory=Usage)
    _keys: dict[str, AccessKey] = field(default_factory=dict)
    _read: tuple[int, int] = (0, 0)  # modification time and size of the file as read
    _checked: float = -10.0
    _required: bool = False

    @property
    def has_keys(self) -> bool:
        """Whether callers must show a key: once a file of keys was seen, even if the last one is revoked."""
        self._refresh()
        return self._required

    def admit(self, authorization: str, address: str, scope: str, in_flight: int) -> AccessKey | None:
        """The caller's key (None where none is needed). Raises HttpError 401, 403, 429 or 503."""
        if in_flight > self.max_in_flight:
            raise HttpError(503, "the server is busy", code="overloaded", retry_after=1)
        key = self._identify(authorization) if self.has_keys else None
        if scope == "admin" and (key is None or "admin" not in key.scopes):
            raise HttpError(403, "this needs a key with the scope admin", code="forbidden")
        if key is not None and scope not in key.scopes and "admin" not in key.scopes:
            raise HttpError(403, f"this key has not the scope {scope}", code="forbidden")
        self._count(
            f"key:{key.id}" if key else f"address:{address}", key.per_minute if key else self.per_minute_by_address
        )
        if key is not None:
            self._count_day(key)
        return key

    def _identify(self, authorization: str) -> AccessKey:
        kind, _, shown = authorization.partition(" ")
        _, _, rest = shown.strip().partition("twin_")
        key_id, _, secret = rest.partition("_")
        known = self._keys.get(key_id)
        same = hmac.compare_digest(_hash(secret), known.hash if known else _NOBODY)
        expired = known is not None and known.expires is not None and known.expires < time.time()
        if kind.lower() != "bearer" or known is None or not same or expired:
            raise HttpError(401, "a valid access key is needed (Authorization: Bearer …)", code="invalid_api_key")
        return known

    def _count(self, name: str, rate: int) -> None:
        wait = self.usage.take_rate(name, rate)
        if wait:
            raise HttpError(429, "too many requests", code="rate_limited", retry_after=max(1, round(wait + 0.5)))

    def _count_day(self, key: AccessKey) -> None:
        gone = self.usage.take_day(key.id, key.per_day, key.tokens_per_day)
        if gone:
            left = int(86400 - self.usage.wall() % 86400)
            raise HttpError(429, f"this key's {gone} for today are used up", code="quota", retry_after=left)

    def spend(self, key_id: str, tokens: int) -> None:
        """Count the predictor's tokens that a request of this key took; known only when it is answered, so the
        request that goes beyond the quota is still answered whole."""
        self.usage.spend(key_id, tokens)

    def _refresh(self) -> None:
        """Read the keys again if their file has changed; looked at once a second at most."""
        now = self.clock()
        if self.keys_file is None or now - self._checked < 1:
            return
        self._checked = now
        try:
            status = self.keys_file.stat()
            seen = (status.st_mtime_ns, status.st_size)
        except FileNotFoundError:
            return  # a file that is gone must not open the doors
        self._required = True
        if seen != self._read:
            self._keys = {key.id: key for key in read_keys(self.keys_file)}
            self._read = seen


def check_binding(host: str, keys_file: Path | None, behind_gateway: bool = False) -> None:
    """Refuse to listen wider than loopback without keys, unless a gateway asks who is there. Raises
    InputError."""
    if host not in LOOPBACK and not behind_gateway and not (keys_file and read_keys(keys_file)):
        raise InputError(
            f"listening on {host} without access keys would let anyone ask",
            "make a key with `twin keys add NAME`, or listen on 127.0.0.1",
        )
