"""The dataset card: a README with the front matter that model hubs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_card(manifest: dict[str, Any]) -> str:
    """Markdown of the card, from the manifest alone."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    total = sum(manifest["counts"]["instructions"].values())
    size = "n<1K" if total < 1000 else "1K<n<10K" if total < 10_000 else "10K<n<100K"
    return environment.get_template("card.md.jinja").render(manifest=manifest, size=size)
