"""Errors of the vector index's client, in words that name the server."""

from __future__ import annotations

from typing import Any

import httpx
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from llm_twin.errors import StoreError


class named_errors:
    """Turns the client's errors into StoreError that names the server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ResponseHandlingException | httpx.TransportError):
            raise StoreError(
                f"the vector index at {self.url} cannot be reached: {error}", "is it up? see LLM_TWIN_QDRANT_URL"
            ) from error
        if isinstance(error, UnexpectedResponse):
            reason = error.content.decode(errors="replace")[:300]
            raise StoreError(f"the vector index at {self.url} refused: {error.status_code} {reason}") from error
        if isinstance(error, ApiException):
            raise StoreError(f"the vector index at {self.url} refused: {error}") from error
