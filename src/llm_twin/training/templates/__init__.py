"""Our own chat template, for models without one."""

from pathlib import Path


def chat_template() -> str:
    """The template, with the marks that say which tokens the assistant wrote (assistant-only loss needs them)."""
    return (Path(__file__).parent / "chat.jinja").read_text(encoding="utf-8").strip()
