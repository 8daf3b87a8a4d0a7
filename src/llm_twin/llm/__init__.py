"""The one client for language models behind an OpenAI-compatible URL: bounded, retried, budgeted, cached."""

from llm_twin.llm.cache import ReplyCache
from llm_twin.llm.client import LlmClient, Outcome, Request, open_client
from llm_twin.llm.ledger import Ledger

__all__ = ["Ledger", "LlmClient", "Outcome", "ReplyCache", "Request", "open_client"]
