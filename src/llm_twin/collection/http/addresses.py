"""Which addresses may be connected to, checked after names are resolved, at the moment of connecting.

A crawler that follows links can be sent to an address inside the network it runs in (server-side request
forgery). The check sits in the transport's own connect, so neither a redirect nor a name that resolves
differently the second time gets past it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import select
import socket
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from llm_twin.errors import InputError


class AddressRefused(httpcore.ConnectError):
    """The name resolves to an address that is not public, and the host is not allowed by name."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet (IPv4 inside IPv6 is looked at as IPv4)."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or _nat64(ip)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return None


def parse_overrides(connect_to: dict[str, str]) -> dict[str, tuple[str, str, int]]:
    """host → (scheme, host, port) from the recipe's `connect_to`. Raises InputError for one that is not a URL."""
    overrides = {}
    for host, target in connect_to.items():
        parts = urlsplit(target)
        try:
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (KeyError, ValueError) as error:
            raise InputError(f"connect_to: {host}: {target!r} is not a URL", "write http://address:port") from error
        if not parts.hostname:
            raise InputError(f"connect_to: {host}: {target!r} has no address", "write http://address:port")
        overrides[host.lower()] = (parts.scheme, parts.hostname, port)
    return overrides


class _Stream(httpcore.AsyncNetworkStream):
    """A stream that knows cheaply whether its other end hung up: the pool asks every idle one before every request."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self.inner = inner
        connected = inner.get_extra_info("socket")
        self.poll = select.poll()
        self.poll.register(connected.fileno(), select.POLLIN)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, or none at the end."""
        return await self.inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of the buffer."""
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self.inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same stream, encrypted."""
        return _Stream(await self.inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a stream."""
        return bool(self.poll.poll(0)) if info == "is_readable" else self.inner.get_extra_info(info)


@cache
def _tls() -> ssl.SSLContext:
    """The certificates of this machine's certifi, read once a process: it takes some 30 ms."""
    return httpx.create_ssl_context(trust_env=False)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, and to those that `allowed` names (host or host:port)."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = set(allowed)
        self.inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check every address, connect to one that was checked."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} does not resolve: {error}") from error
        addresses = list(dict.fromkeys(entry[4][0] for entry in found))
        if host not in self.allowed and f"{host}:{port}" not in self.allowed:
            refused = [address for address in addresses if not is_public(str(address))]
            if refused:
                raise AddressRefused(f"{host} resolves to {refused[0]}, which is not a public address")
        problem: Exception | None = None
        for address in addresses[:4]:
            try:
                stream = await self.inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
                return _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        raise problem or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressRefused("sockets in the file system are not fetched from")

    async def sleep(self, seconds: float) -> None:
        """Wait, for the pool."""
        await asyncio.sleep(seconds)


def make_transport(allowed: Iterable[str], connections: int) -> httpx.AsyncHTTPTransport:
    """An httpx transport whose connections go through the guard."""
    transport = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False)
    # httpx offers no public way to give its pool a network backend; its mapping of errors is worth keeping.
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=_tls(),
        max_connections=connections,
        max_keepalive_connections=connections,
        keepalive_expiry=15,
        network_backend=GuardedBackend(allowed),
    )
    return transport
