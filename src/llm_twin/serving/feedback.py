"""What readers think of answers: kept as lines for review, before any of it becomes preference data."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from llm_twin.serving.chat_models import MAX_CHARACTERS, Body


class Feedback(Body):
    """POST /feedback: a verdict on one answer."""

    model: str = Field(default="", max_length=200)
    question: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    answer: str = Field(max_length=MAX_CHARACTERS)
    verdict: Literal["up", "down"]
    reason: str = Field(default="", max_length=500)
    variant: str = Field(default="", max_length=100)
    trace_id: str = Field(default="", max_length=64)


def keep_feedback(path: Path, feedback: Feedback, author: str) -> None:
    """Append one line; a line is written at once, so that several processes may."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"time": round(time.time(), 3), "author": author, **feedback.model_dump()}, ensure_ascii=False)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, (line + "\n").encode())
    finally:
        os.close(descriptor)
