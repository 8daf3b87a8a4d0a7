"""One polite, bounded GET: pace, robots.txt, conditional headers, retries, redirects, caps."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx
from protego import Protego

from llm_twin.collection.http.addresses import make_transport, parse_overrides
from llm_twin.collection.http.bodies import BodyError, drain, read_body
from llm_twin.collection.http.hosts import Host
from llm_twin.errors import SourceError

USER_AGENT = "llm-twin/0.1 (+collects an author's own writing)"
ROBOTS_NAME = "llm-twin"
MAX_REDIRECTS = 5
MAX_RETRIES = 3
MAX_RETRY_AFTER_SECONDS = 30.0
BACKOFF_SECONDS = 0.5
RETRY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
ROBOTS_BYTES = 512_000  # RFC 9309: at least 500 KiB are read
UNREACHED = ("dns", "connection")
HTML_TYPES = ("text/html", "application/xhtml+xml")


class FetchError(SourceError):
    """A URL could not be fetched; `reason` is one word of a fixed vocabulary, for counting."""

    def __init__(self, url: str, reason: str, detail: str) -> None:
        super().__init__(f"{url}: {reason}: {detail}", "see the quality report")
        self.url = url
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Response:
    """What came back: the final URL, the body in bytes (empty when not modified) and the headers in lower case."""

    url: str
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def not_modified(self) -> bool:
        """304: what we have is still good."""
        return self.status == 304

    @property
    def content_type(self) -> str:
        """The media type without parameters."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset that the header claims."""
        _, _, rest = self.headers.get("content-type", "").lower().partition("charset=")
        return rest.split(";")[0].strip(" \"'") or None

    def state(self) -> dict[str, Any]:
        """What to remember for the next, conditional request."""
        return {"etag": self.headers.get("etag", ""), "last_modified": self.headers.get("last-modified", "")}


class Fetcher:
    """An async context manager that fetches for one run; every limit holds per host or per URL."""

    def __init__(
        self,
        *,
        connect_to: dict[str, str] | None = None,
        requests_per_second: float = 2.0,
        timeout_seconds: float = 30.0,
        max_bytes: int = 10_000_000,
        allow_addresses: Sequence[str] = (),
        max_retries: int = MAX_RETRIES,
        respect_robots: bool = True,
    ) -> None:
        self.overrides = parse_overrides(connect_to or {})
        self.seconds_between = 1 / requests_per_second
        self.timeout_seconds = timeout_seconds
        self.max_bytes = max_bytes
        self.max_retries = max_retries
        self.respect_robots = respect_robots
        self.hosts: dict[str, Host] = {}
        self.requests = 0
        allowed = {f"{host}:{port}" for _, host, port in self.overrides.values()} | set(allow_addresses)
        self.client = httpx.AsyncClient(
            transport=make_transport(allowed, connections=32),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(timeout_seconds, connect=min(10.0, timeout_seconds)),
            headers={"user-agent": USER_AGENT, "accept-encoding": "gzip, deflate"},
        )

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.aclose()

    async def get(
        self,
        url: str,
        *,
        state: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        fallbacks: Sequence[str] = (),
    ) -> Response:
        """Fetch `url`; if its host cannot be reached, the first of `fallbacks` that works.

        Raises the first URL's FetchError if none does.
        """
        try:
            return await self._follow(url, state, headers, max_bytes or self.max_bytes)
        except FetchError as error:
            for other in fallbacks if error.reason in UNREACHED else ():
                try:
                    return await self._follow(other, None, headers, max_bytes or self.max_bytes)
                except FetchError:
                    continue
            raise

    async def wait_until_closed(self, url: str) -> None:
        """Wait until the circuit breaker of a URL's host lets requests through again."""
        host = self._host(urlsplit(url).netloc)
        await asyncio.sleep(max(0.0, host.open_until - time.monotonic()))

    async def _follow(
        self, url: str, state: Mapping[str, Any] | None, headers: Mapping[str, str] | None, max_bytes: int
    ) -> Response:
        """Follow redirects one by one: each target is checked, paced and asked for permission like the first."""
        asked = {key.lower(): value for key, value in (headers or {}).items()}
        if state and state.get("etag"):
            asked["if-none-match"] = state["etag"]
        if state and state.get("last_modified"):
            asked["if-modified-since"] = state["last_modified"]
        seen: list[str] = []
        here = url
        while True:
            if here in seen:
                raise FetchError(url, "redirect-loop", f"{here} comes back to itself")
            if len(seen) > MAX_REDIRECTS:
                raise FetchError(url, "redirect-loop", f"more than {MAX_REDIRECTS} redirects")
            seen.append(here)
            response = await self._try(url, here, asked, max_bytes)
            if response.status not in (301, 302, 303, 307, 308):
                return response
            target = response.headers.get("location", "")
            if not target:
                raise FetchError(url, f"http-{response.status}", "a redirect without a location")
            here = urljoin(here, target)
            if urlsplit(here).netloc != urlsplit(seen[-1]).netloc:
                asked.pop("authorization", None)

    async def _try(self, url: str, here: str, headers: Mapping[str, str], max_bytes: int) -> Response:
        """One hop, with retries: exponential backoff with full jitter, or what Retry-After says."""
        parts = urlsplit(here)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FetchError(url, "not-http", f"{here[:200]} is not an http(s) URL")
        host = self._host(parts.netloc)
        if host.is_open():
            raise FetchError(url, "circuit-open", f"{parts.netloc} failed too often")
        if self.respect_robots and not await self._is_allowed(host, here):
            raise FetchError(url, "robots", f"robots.txt of {parts.netloc} does not allow it")
        problem: FetchError | None = None
        for attempt in range(self.max_retries + 1):
            if host.is_open():
                raise problem or FetchError(url, "circuit-open", f"{parts.netloc} failed too often")
            try:
                async with host.gate:
                    await host.wait_turn()
                    if host.is_open():  # it fell ill while this one waited
                        raise problem or FetchError(url, "circuit-open", f"{parts.netloc} failed too often")
                    response = await self._request(url, here, headers, max_bytes)
            except FetchError as error:
                problem = error
                if error.reason in ("timeout", "connection"):
                    host.note_failure()
                    if error.reason == "timeout" and attempt >= 1:
                        break  # a page that hangs twice will hang again
                    await asyncio.sleep(_backoff(attempt))
                    continue
                raise
            if response.status not in RETRY_STATUSES:
                host.note_success()
                return self._checked(url, response)
            wait = _retry_after(response.headers.get("retry-after"))
            problem = FetchError(url, f"http-{response.status}", f"the server answered {response.status}")
            if response.status == 429:
                if wait is not None and wait > MAX_RETRY_AFTER_SECONDS:
                    raise FetchError(url, "rate-limited", f"the server asks to wait {wait:.0f} s")
                problem = FetchError(url, "rate-limited", "429 again after every wait")
            if attempt < self.max_retries:
                pause = _backoff(attempt) if wait is None else min(wait, MAX_RETRY_AFTER_SECONDS)
                if wait is not None:
                    host.hold_back(pause)
                await asyncio.sleep(pause)
        host.note_failure()
        raise problem or FetchError(url, "connection", "no answer")

    async def _request(self, url: str, here: str, headers: Mapping[str, str], max_bytes: int) -> Response:
        """One request, whole within the time limit: a slow drip counts as a hang."""
        request = self._build(here, headers)
        self.requests += 1
        try:
            async with asyncio.timeout(self.timeout_seconds):
                response = await self.client.send(request, stream=True)
                try:
                    wanted = response.status_code == 200
                    body = await read_body(response, max_bytes) if wanted else await drain(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise FetchError(url, "timeout", f"not done in {self.timeout_seconds:g} s") from error
        except BodyError as error:
            raise FetchError(url, error.reason, error.detail) from error
        except httpx.ConnectError as error:
            if "not a public address" in str(error):
                raise FetchError(url, "private-address", str(error)) from error
            reason = "dns" if "does not resolve" in str(error) else "connection"
            raise FetchError(url, reason, str(error) or "refused") from error
        except httpx.RemoteProtocolError as error:
            reason = "truncated" if "complete message body" in str(error) else "protocol"
            raise FetchError(url, reason, str(error)) from error
        except httpx.HTTPError as error:
            raise FetchError(url, "connection", str(error) or type(error).__name__) from error
        return Response(here, response.status_code, body, {k.lower(): v for k, v in response.headers.items()})

    def _build(self, here: str, headers: Mapping[str, str]) -> httpx.Request:
        parts = urlsplit(here)
        override = self.overrides.get((parts.hostname or "").lower())
        try:
            if override is None:
                return self.client.build_request("GET", here, headers=dict(headers))
            scheme, host, port = override
            netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            moved = urlunsplit((scheme, netloc, parts.path, parts.query, ""))
            return self.client.build_request("GET", moved, headers={**headers, "host": parts.netloc})
        except httpx.InvalidURL as error:
            raise FetchError(here, "not-http", str(error)) from error

    @staticmethod
    def _checked(url: str, response: Response) -> Response:
        if response.status in (200, 304) or 300 <= response.status < 400:
            return response
        raise FetchError(url, f"http-{response.status}", f"the server answered {response.status}")

    def _host(self, netloc: str) -> Host:
        return self.hosts.setdefault(netloc.lower(), Host(self.seconds_between))

    async def _is_allowed(self, host: Host, here: str) -> bool:
        async with host.robots_lock:
            if host.robots is None:
                if host.is_open():
                    raise FetchError(here, "circuit-open", "its robots.txt cannot be read")
                try:
                    host.robots = await self._read_robots(here)
                except FetchError:
                    host.note_failure()
                    raise
                host.slow_to(host.robots.crawl_delay(ROBOTS_NAME))
        return bool(host.robots.can_fetch(here, ROBOTS_NAME))

    async def _read_robots(self, here: str) -> Protego:
        """RFC 9309: no file means all is allowed, no answer means nothing is."""
        parts = urlsplit(here)
        robots_url = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
        try:
            for attempt in range(MAX_REDIRECTS):
                response = await self._request(here, robots_url, {}, ROBOTS_BYTES)
                if response.status in RETRY_STATUSES:
                    await asyncio.sleep(_backoff(attempt))
                    continue
                if response.status not in (301, 302, 303, 307, 308):
                    break
                robots_url = urljoin(robots_url, response.headers.get("location", ""))
                if urlsplit(robots_url).scheme not in ("http", "https"):
                    return Protego.parse("")
        except FetchError as error:
            if error.reason in ("too-large", "bad-encoding", "truncated"):
                return Protego.parse("")
            raise
        if response.status == 200:
            return Protego.parse(response.body.decode("utf-8", errors="replace"))
        return Protego.parse("User-agent: *\nDisallow: /" if response.status >= 500 else "")


def _backoff(attempt: int) -> float:
    return random.uniform(0, BACKOFF_SECONDS * 2**attempt)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which holds seconds or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, when.timestamp() - time.time())
