"""The known attacks, and the harmless texts that look like them: what the injection classifier learns from.

All written for this project, in `known/`. `*.txt` hold a pattern a line under `# family` headings: `[[a|b|c]]`
stands for one of its parts, `\\n` for a line break. Each pattern becomes several texts. `known.jsonl` holds whole
texts, by writers who did not see each other's; of a poisoned document it names the order in it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from llm_twin.digests import digest_bytes

FILES = ("attacks_input", "attacks_document", "harmless_input", "harmless_document")
ORDINARY = "ordinary"  # the family of passages that do not even look like attacks
VARIANTS = 6  # texts of a pattern
_SLOT = re.compile(r"\[\[(?!\[)(.*?)\]\](?!\])")


@dataclass(frozen=True)
class Example:
    """A known text: whether it is an attack, where it stands, and its family; `order` is what of an attacking document
    is the order, `writer` whose it is ("" where that was not kept, "pattern" of one that was made from a pattern)."""

    text: str
    attack: bool
    place: str  # input or document
    family: str
    writer: str = ""
    order: tuple[str, ...] = ()


def read_examples() -> list[Example]:
    """All known texts, patterns expanded; the same list every time."""
    found: dict[str, Example] = {}
    for name in FILES:
        attack, place = name.startswith("attacks"), name.rsplit("_", 1)[1]
        family = ""
        for line in _read(f"{name}.txt").splitlines():
            if line.startswith("# ") and "[[" not in line:
                family = f"{name}: {line[2:].strip()}"
            elif line.strip():
                for text in expand(line.strip()):
                    order = (text,) if attack and place == "document" else ()
                    found.setdefault(text, Example(text, attack, place, family, "pattern", order))
    for line in _read("known.jsonl").splitlines():
        row = json.loads(line)
        found.setdefault(
            row["text"],
            Example(
                row["text"],
                row["label"] == "attack",
                row["place"],
                row["family"],
                row.get("writer", ""),
                tuple(row.get("order", ())),
            ),
        )
    return list(found.values())


def expand(pattern: str, variants: int = VARIANTS) -> Iterator[str]:
    """Up to `variants` different texts of a pattern, always the same ones."""
    chooser = random.Random(pattern)
    seen = set()
    for _ in range(3 * variants):
        text = _SLOT.sub(lambda match: chooser.choice(re.split(r"(?<!\\)\|", match.group(1))), pattern)
        text = text.replace("\\n", "\n").replace("\\|", "|").strip()
        if text not in seen:
            seen.add(text)
            yield text
        if len(seen) == variants:
            return


def examples_digest() -> str:
    """Names the known texts: weights that were learned from others are out of date."""
    return digest_bytes("\0".join(_read(name) for name in (*(f"{n}.txt" for n in FILES), "known.jsonl")).encode())[:16]


def _read(name: str) -> str:
    return (resources.files("llm_twin.serving.guardrails") / "known" / name).read_text(encoding="utf-8")
