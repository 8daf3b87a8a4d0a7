"""The transformer's front: every request passes here first, and our own routes end here.

Bare ASGI before KServe's application: request ids, limits and errors in each protocol's own form. What is
no route of ours (KServe's health, metadata, repository and metrics) goes on to KServe.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from llm_twin.errors import InputError, TwinError
from llm_twin.logs import REQUEST_ID, event, request_id
from llm_twin.serving.access import Gatekeeper
from llm_twin.serving.http import Call, Disconnected, HttpError, Receive, Scope, Send
from llm_twin.serving.metrics import observe_request

logger = logging.getLogger("llm_twin.serving")

Protocol = Literal["openai", "kserve", "page"]
Handler = Callable[[Call], Awaitable[None]]
QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})  # asked all the time


@dataclass(frozen=True)
class Route:
    """A path of ours. `{name}` in it matches one segment and becomes a parameter of the call."""

    method: str
    path: str
    handler: Handler
    protocol: Protocol
    summary: str
    request: Any = None  # pydantic model of the body, for the OpenAPI description
    scope: str = "ask"  # what an access key must allow; empty: open to all

    @property
    def pattern(self) -> re.Pattern[str]:
        """The path as a regular expression."""
        return re.compile("^" + re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(self.path)) + "$")


class Front:
    """The ASGI application: our routes, then KServe's."""

    def __init__(
        self, routes: list[Route], inner: Any, gatekeeper: Gatekeeper | None = None, origins: Sequence[str] = ()
    ) -> None:
        self.inner = inner
        self.gatekeeper = gatekeeper or Gatekeeper()
        self.origins = frozenset(origins)
        self.fixed = {(r.method, r.path): r for r in routes if "{" not in r.path}
        self.patterns = [(r.method, r.pattern, r) for r in routes if "{" in r.path]
        self.routes = routes
        self.description: bytes = b""
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                return
            await self.inner(scope, receive, send)
            return
        call = Call.of(scope, receive, send)
        given = call.header(b"x-request-id")
        call.request_id = given if REQUEST_ID.match(given) else uuid.uuid4().hex
        request_id.set(call.request_id)
        route = self._find(call)
        self.in_flight += 1
        begun = time.monotonic()
        try:
            if self.origins and await self._is_preflight(call):
                return
            self._admit(call, route)
            if route is None and call.path == "/openapi.json":
                await call.send_bytes(200, b"application/json", self._describe())
            elif route is None:
                await self.inner(scope, receive, _noting(call))
            else:
                await route.handler(call)
        except Disconnected:
            logger.info("client left")
        except HttpError as error:
            await _answer_error(call, route, error)
        except InputError as error:
            await _answer_error(call, route, HttpError(400, str(error), code="invalid_value"))
        except TwinError as error:
            logger.warning("%s", error)
            await _answer_error(call, route, HttpError(503, error.message, code="unavailable", retry_after=5))
        except Exception:  # the edge: whatever went wrong, the caller gets an answer in its protocol's form
            logger.exception("request failed")
            await _answer_error(call, route, HttpError(500, "something went wrong here", code="internal"))
        finally:
            self.in_flight -= 1
            if call.state.get("key") and call.state.get("tokens"):
                self.gatekeeper.spend(call.state["key"], call.state["tokens"])
            _log_request(call, route, time.monotonic() - begun)
            if route is not None:  # KServe counts its own
                observe_request(route.path, call.status, time.monotonic() - begun)

    def _admit(self, call: Call, route: Route | None) -> None:
        """Let the caller in and note what its key allows. Raises HttpError 401, 403, 429 or 503."""
        needed = route.scope if route else _scope_of_inner(call)
        if not needed:
            return
        key = self.gatekeeper.admit(call.header(b"authorization"), _address(call.scope), needed, self.in_flight)
        call.state["twins"] = key.twins if key else None
        call.state["key"] = key.id if key else ""
        call.state["scope"] = key.rights if key else ""
        if route is None and key is not None and key.twins is not None and "admin" not in key.scopes:
            raise HttpError(403, "this key is for asking its twins only", code="forbidden")

    async def _is_preflight(self, call: Call) -> bool:
        """Answer a browser's CORS question; let allowed origins read what follows."""
        origin = call.header(b"origin")
        if origin not in self.origins:
            return False
        call.sent_headers += [(b"access-control-allow-origin", origin.encode()), (b"vary", b"origin")]
        if call.method != "OPTIONS" or not call.header(b"access-control-request-method"):
            return False
        call.sent_headers += [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
            (b"access-control-max-age", b"600"),
        ]
        await call.send_bytes(204, b"text/plain", b"")
        return True

    def _describe(self) -> bytes:
        """The OpenAPI document, made once, when KServe has added its routes."""
        if not self.description:
            from llm_twin.serving.openapi import describe

            self.description = orjson.dumps(describe(self.routes, self.inner.openapi()))
        return self.description

    def _find(self, call: Call) -> Route | None:
        route = self.fixed.get((call.method, call.path))
        if route is not None:
            return route
        for method, pattern, route in self.patterns:
            if method == call.method and (match := pattern.match(call.path)):
                call.parameters = match.groupdict()
                return route
        return None


def _noting(call: Call) -> Send:
    """What KServe's application sends with: notes the status, and puts the request's id on the response."""

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
            named = (b"x-request-id", call.request_id.encode())
            message = {**message, "headers": [*message.get("headers", []), *call.sent_headers, named]}
        await call.send(message)

    return send


def _log_request(call: Call, route: Route | None, seconds: float) -> None:
    """One line for each request: its route (a path may hold anything), its end, and whose key it was."""
    if call.path in QUIET:
        return
    fields: dict[str, Any] = {
        "method": call.method,
        "route": route.path if route else "kserve",
        "status": call.status or 499,  # the client left before the answer began
        "seconds": round(seconds, 4),
    }
    for name in ("key", "model", "tokens"):
        if call.state.get(name):
            fields[name] = call.state[name]
    event(logger, "request", **fields)


def _scope_of_inner(call: Call) -> str:
    """What a route of KServe's needs: health is open, the repository is for administrators."""
    if call.path.startswith("/v2/health") or (call.method == "GET" and call.path.endswith("/ready")):
        return ""
    return "admin" if call.path.startswith("/v2/repository") else "ask"


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _answer_error(call: Call, route: Route | None, error: HttpError) -> None:
    """The error in the form of the route's protocol; nothing if the response has begun."""
    if call.status:
        return
    if error.retry_after:
        call.sent_headers.append((b"retry-after", str(error.retry_after).encode()))
    if error.status == 401:
        call.sent_headers.append((b"www-authenticate", b"Bearer"))
    await call.send_bytes(error.status, b"application/json", error_body(route.protocol if route else "kserve", error))


def error_body(protocol: Protocol, error: HttpError) -> bytes:
    """An error's body: OpenAI's `{"error": {…}}`, or KServe's `{"error": "…"}`."""
    if protocol != "openai":
        return orjson.dumps({"error": error.message})
    kinds = {401: "authentication_error", 403: "permission_error", 404: "invalid_request_error"}
    kinds |= {429: "rate_limit_error"}
    kind = kinds.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    body = {"message": error.message, "type": kind, "param": error.field or None, "code": error.code or None}
    return orjson.dumps({"error": body})
