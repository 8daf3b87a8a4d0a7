"""Reading a response's body within bounds: of bytes on the wire, and of bytes after decompression."""

from __future__ import annotations

import zlib

import httpx

STEP_BYTES = 1 << 18
DRAIN_BYTES = 1 << 16


class BodyError(Exception):
    """The body is too large, cut short or not what its headers say; `reason` is one word for the report."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


async def read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """The decompressed body. Raises BodyError past `max_bytes`, or if the compressed stream is damaged.

    Decompression is bounded step by step, so a stream that would unpack to gigabytes costs `max_bytes` and no
    more; httpx's own decoder unpacks whatever it has been sent.
    """
    declared = response.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise BodyError("too-large", f"{int(declared):,} bytes announced, {max_bytes:,} allowed")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity", "none"):
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            _check_size(len(body), max_bytes)
        return bytes(body)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BodyError("bad-encoding", f"content-encoding {encoding!r} was not asked for")
    return await _read_compressed(response, encoding, max_bytes)


async def drain(response: httpx.Response) -> bytes:
    """Read a body that nobody wants to its end, if that is near, so that the connection can be used again."""
    size = 0
    async for piece in response.aiter_raw():
        size += len(piece)
        if size > DRAIN_BYTES:
            break
    return b""


async def _read_compressed(response: httpx.Response, encoding: str, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding != "deflate" else None
    body = bytearray()
    received = 0
    async for piece in response.aiter_raw():
        received += len(piece)
        _check_size(received, max_bytes)
        if unpacker is None:  # "deflate" is zlib's format by the standard, a bare stream by habit
            unpacker = zlib.decompressobj(zlib.MAX_WBITS if piece[:1] == b"\x78" else -zlib.MAX_WBITS)
        try:
            while piece:
                body += unpacker.decompress(piece, STEP_BYTES)
                _check_size(len(body), max_bytes)
                if unpacker.eof and unpacker.unused_data:
                    if not unpacker.unused_data.strip(b"\0"):
                        break
                    piece, unpacker = unpacker.unused_data, zlib.decompressobj(zlib.MAX_WBITS | 32)
                    continue
                piece = unpacker.unconsumed_tail
        except zlib.error as error:
            raise BodyError("bad-encoding", f"the {encoding} stream is damaged: {error}") from error
    if unpacker is not None and not unpacker.eof:
        raise BodyError("truncated", f"the {encoding} stream ends early, after {len(body):,} bytes")
    return bytes(body)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BodyError("too-large", f"more than {max_bytes:,} bytes")
