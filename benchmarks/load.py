"""A load generator that costs little itself: raw asyncio connections that are kept alive, answers split by
length."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson


def build_request(path: str, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    """A POST with a JSON body, ready to be sent again and again."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data


@dataclass
class Load:
    """What a run of load saw: seconds of each answer (status 200: a refusal is quick and answers nothing), how many
    of each status, and how long it all took."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers a second, refusals not counted."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def refused(self) -> int:
        """How many got another status than 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def percentile(self, share: float) -> float:
        """That percentile of the latencies, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def hammer(port: int, request: bytes, clients: int, seconds: float) -> Load:
    """`clients` connections, each asking again as soon as it is answered, for `seconds`."""
    load = Load()
    until = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        while (begun := time.perf_counter()) < until:
            writer.write(request)
            status, _ = await read_response(reader)
            if status == 200:
                load.latencies.append(time.perf_counter() - begun)
            load.statuses[status] = load.statuses.get(status, 0) + 1
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - begun
    return load


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One whole response: status and body (by its length, or in chunks)."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lowered = head.lower()
    at = lowered.find(b"content-length:")
    if at >= 0:
        length = int(lowered[at + 15 : lowered.find(b"\r\n", at)])
        return status, await reader.readexactly(length)
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, b"".join(parts)


@dataclass
class Stream:
    """What one stream saw: seconds to its first byte, and the text of its events."""

    first_byte: float = float("nan")
    events: list[bytes] = field(default_factory=list)
    whole: bool = False  # it ended with [DONE]


async def open_streams(port: int, request: bytes, count: int, timeout_seconds: float = 120) -> list[Stream]:
    """`count` server-sent-event streams at once, read to their ends."""

    async def one() -> Stream:
        stream = Stream()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        try:
            begun = time.perf_counter()
            writer.write(request)
            async with asyncio.timeout(timeout_seconds):
                await reader.readuntil(b"\r\n\r\n")
                rest = b""
                while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                    if not stream.events:
                        stream.first_byte = time.perf_counter() - begun
                    rest += await reader.readexactly(size)
                    await reader.readexactly(2)
                    *events, rest = rest.split(b"\n\n")
                    stream.events += [event[6:] for event in events if event.startswith(b"data: ")]
            stream.whole = bool(stream.events) and stream.events[-1] == b"[DONE]"
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            pass  # not whole: counted as lost
        finally:
            writer.close()
        return stream

    return list(await asyncio.gather(*(one() for _ in range(count))))
