"""Fetching politely and safely: one client for all sources."""

from llm_twin.collection.http.fetching import Fetcher, FetchError, Response

__all__ = ["FetchError", "Fetcher", "Response"]
