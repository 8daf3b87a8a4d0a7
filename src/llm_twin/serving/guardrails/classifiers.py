"""Text classifiers from the hub, where a recipe names one: a text to the probability that it is bad."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from llm_twin.errors import ModelError

# What the classifiers in use call a text that is fine; every other label is a way of being bad.
FINE = frozenset(
    "label_0 safe benign neutral harmless legit legitimate normal ok clean non-toxic nontoxic not_toxic non_toxic"
    " no_injection not_injection none".split()
)


@cache
def load_classifier(name: str) -> Callable[[str], float]:
    """The classifier `name` (a hub name or a folder). Raises ModelError."""
    from transformers import pipeline

    try:
        classify = pipeline("text-classification", model=name, top_k=None)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"cannot load the classifier {name!r}: {reason}", "give a hub name or a folder") from error

    def judge(text: str) -> float:
        scores: Any = classify([text], truncation=True)[0]
        return max((float(one["score"]) for one in scores if one["label"].lower() not in FINE), default=0.0)

    return judge
