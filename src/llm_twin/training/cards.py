"""The model card of an export: what it is, what it was made of, what was measured, what it must not be used for."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined

TEMPLATE = Path(__file__).parent / "card.md.jinja"


def write_card(folder: Path, name: str, kind: str, lineage: dict[str, str], metrics: dict[str, float]) -> None:
    """Write README.md into `folder`; the same arguments give the same bytes."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(name=name, kind=kind, lineage=sorted(lineage.items()), metrics=sorted(metrics.items()))
    (folder / "README.md").write_text(page, encoding="utf-8")
