"""Answers that were given before, for as long as nothing they depend on has changed.

The key holds everything that an answer depends on: author, what the caller's key may read, question, history,
sampling, the twin's recipe, and the versions of prompt, index, model and release. So a new index or prompt
finds no old answer, and no answer crosses from one author or scope to another.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from llm_twin.digests import digest_bytes
from llm_twin.prompts import prompt_version
from llm_twin.serving.twins import PROMPT_NAMES

if TYPE_CHECKING:
    from llm_twin.serving.answering import Asked
    from llm_twin.serving.twins import Twin

Value = TypeVar("Value")


@dataclass
class TimedCache(Generic[Value]):
    """The `capacity` values used last, each for `ttl_seconds`; 0 of either keeps nothing.

    Used from one thread, or under the caller's lock.
    """

    capacity: int
    ttl_seconds: float
    clock: Callable[[], float] = time.monotonic
    hits: int = 0
    misses: int = 0
    _kept: OrderedDict[object, tuple[float, Value]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: object) -> Value | None:
        """The value of a key that is known and not too old."""
        known = self._kept.get(key)
        if known is None or self.clock() - known[0] >= self.ttl_seconds:
            self._kept.pop(key, None)
            self.misses += 1
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return known[1]

    def drop(self, key: object) -> None:
        """Forget a key."""
        self._kept.pop(key, None)

    def put(self, key: object, value: Value) -> None:
        """Keep a value; the one unused for longest makes room."""
        if self.capacity <= 0 or self.ttl_seconds <= 0:
            return
        self._kept[key] = (self.clock(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > self.capacity:
            self._kept.popitem(last=False)


def answer_key(asked: Asked, twin: Twin) -> str:
    """Names an answer by all it depends on; empty where chance has a part in it (then it is not cached)."""
    temperature = asked.sampling.get("temperature", twin.serving.temperature)
    if not twin.serving.cache.answers or asked.sampling.get("n", 1) != 1:
        return ""
    if temperature and asked.sampling.get("seed") is None:
        return ""
    parts = {
        "author": twin.author.id,
        "twin": twin.name,
        "scope": asked.origin.scope,
        "question": asked.question.strip(),
        "history": asked.history,
        "variant": asked.variant,
        "top_k": asked.top_k,
        "sampling": asked.sampling,
        "model": twin.variants.get(asked.variant, twin.model),
        "release": twin.release,
        "index": twin.index,
        "embedder": twin.embedder,
        "recipe": twin.serving.model_dump(mode="json"),
        "prompts": [
            (twin.prompt_versions.get(name), twin.prompts.get(name) or prompt_version(name)) for name in PROMPT_NAMES
        ],
    }
    return digest_bytes(json.dumps(parts, sort_keys=True, default=str).encode())
