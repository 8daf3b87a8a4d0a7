"""Chat templates by name, for tokenizers that bring none of their own: Alpaca, ChatML, Llama 3.

Each marks what the assistant says with {% generation %}, so that training can leave the rest out of the loss.
"""

from __future__ import annotations

from typing import Any

from llm_twin.errors import InputError
from llm_twin.prompts import read_prompt

CHAT_TEMPLATES = ("alpaca", "chatml", "llama3")
NEEDS = {
    "alpaca": (),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}


def read_chat_template(name: str) -> str:
    """The Jinja source of a chat template. Raises InputError for an unknown name."""
    if name not in CHAT_TEMPLATES:
        raise InputError(f"no chat template {name!r}", f"known: {', '.join(CHAT_TEMPLATES)}")
    return read_prompt(f"chat_{name}").rstrip("\n")


def choose_chat_template(tokenizer: Any, name: str = "") -> str:
    """The template to use: the tokenizer's own first, unless one is named.

    Raises InputError when it has none and none is named, or when its vocabulary lacks a token that the named one is
    made of (the model would see it as loose letters).
    """
    if not name:
        if tokenizer.chat_template:
            return str(tokenizer.chat_template)
        raise InputError("the tokenizer has no chat template", f"name one of {', '.join(CHAT_TEMPLATES)}")
    template = read_chat_template(name)
    missing = [token for token in NEEDS[name] if token not in tokenizer.get_vocab()]
    if missing:
        raise InputError(f"the tokenizer lacks {', '.join(missing)} of the chat template {name!r}", "choose another")
    return template
