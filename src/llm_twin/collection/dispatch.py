"""Which source collects from a location: named in the recipe, or picked by the location's form.

Other packages can add sources: an entry point of the group `llm_twin.sources` that names a module (or object)
with NAME, COMPLETE, `matches` and `collect`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from llm_twin.collection.sources import folder, git, github, handbook, linkedin, medium, site, substack
from llm_twin.collection.sources.context import Source
from llm_twin.errors import InputError

ENTRY_POINTS = "llm_twin.sources"
# From the particular to the general: the first whose form fits is it.
BUILT_IN: tuple[Source, ...] = (linkedin, substack, medium, github, git, handbook, folder, site)  # type: ignore[assignment]


def list_sources() -> dict[str, Source]:
    """All sources by name; registered ones come before the built-in ones, and may replace them."""
    found: dict[str, Source] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            source = point.load()
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"the source {point.name!r} cannot be loaded: {error}", "mend or remove its package"
            ) from error
        missing = [name for name in ("NAME", "COMPLETE", "matches", "collect") if not hasattr(source, name)]
        if missing:
            raise InputError(
                f"the source {point.name!r} has no {', '.join(missing)}", "see llm_twin.collection.dispatch"
            )
        found[source.NAME] = source
    for source in BUILT_IN:
        found.setdefault(source.NAME, source)
    return found


def pick_source(location: str, kind: str = "auto") -> Source:
    """The source for a location. Raises InputError if none fits, or the named one does not exist."""
    sources = list_sources()
    if kind != "auto":
        if kind not in sources:
            raise InputError(f"unknown source type {kind!r} for {location}", f"one of auto, {', '.join(sources)}")
        return sources[kind]
    for source in sources.values():
        if source.matches(location):
            return source
    raise InputError(
        f"no source for {location!r}",
        "give an http(s) URL, an export ZIP, a git bundle, or a folder or file of Markdown, HTML or text that is there",
    )
