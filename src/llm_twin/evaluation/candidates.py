"""The models that are compared: a base model and its adapters, loaded once, one active at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_twin.errors import ModelError

BASE = "base"


class Candidates:
    """A base model and adapters by name; `active(name)` yields the model as that candidate answers."""

    def __init__(self, model: Any, tokenizer: Any, adapters: list[str]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.names = [BASE, *adapters]

    @contextmanager
    def active(self, name: str) -> Iterator[Any]:
        """The model with adapter `name` switched on, or with none for `base`."""
        if name not in self.names:
            raise ModelError(f"no candidate {name!r}", f"one of {', '.join(self.names)}")
        if name == BASE and len(self.names) > 1:
            with self.model.disable_adapter():
                yield self.model
        else:
            if name != BASE:
                self.model.set_adapter(name)
            yield self.model


def load_candidates(base: Path, adapters: dict[str, Path]) -> Candidates:
    """Load the base model in float32 and attach the adapters (name → folder). Raises ModelError."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base))
        model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
        for number, (name, folder) in enumerate(adapters.items()):
            if number == 0:
                model = PeftModel.from_pretrained(model, str(folder), adapter_name=name)
            else:
                model.load_adapter(str(folder), adapter_name=name)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"cannot load {base} with {', '.join(adapters) or 'no adapter'}: {error}",
            "give a model folder that transformers loads, and adapters trained on it",
        ) from error
    model.eval()
    return Candidates(model, tokenizer, list(adapters))
