"""Where a chunk stands, said before its text when it is embedded: its title and the headings above it."""

from __future__ import annotations

from collections.abc import Sequence

MAX_BYTES = 300  # of what is said, in UTF-8: some 75 tokens of English, at most a token for each sign of other scripts
JOINT = " > "


def describe_place(title: str, headings: Sequence[str], context: str) -> str:
    """Title and headings as the recipe's `context` says (headings, title, none), shortened to MAX_BYTES.

    The title and the innermost heading say most: the headings between them go first, the outermost before the others,
    then the two are cut.
    """
    parts: list[str] = []
    if context in ("headings", "title") and title:
        parts.append(title)
    if context == "headings":
        parts += [heading for heading in headings if heading.casefold() != title.casefold()]
    while len(parts) > 2 and _size(JOINT.join(parts)) > MAX_BYTES:
        del parts[1]
    if _size(JOINT.join(parts)) > MAX_BYTES:
        room = (MAX_BYTES - (len(parts) - 1) * len(JOINT)) // len(parts)
        parts = [part.encode()[:room].decode(errors="ignore").rstrip() for part in parts]
    return JOINT.join(parts)


def _size(text: str) -> int:
    return len(text.encode())
