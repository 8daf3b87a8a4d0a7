"""One question to the language model that helps a search; a model that cannot be had never fails the search."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from llm_twin.errors import BudgetError, ServiceError
from llm_twin.llm.client import LlmClient, Request

Reply = TypeVar("Reply", bound=BaseModel)


def ask_one(llm: LlmClient, prompt: str, reply_type: type[Reply]) -> Reply | None:
    """The reply; None where it cannot be used, the server cannot be reached, or the budget is used up."""
    try:
        return llm.ask_all([Request(prompt)], reply_type)[0].value
    except (ServiceError, BudgetError):
        return None
