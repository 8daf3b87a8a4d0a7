"""Extract one page: its text in Markdown, and what it says of itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from lxml.html import HtmlElement

from llm_twin.collection.extraction.markdown import HEADINGS, render_markdown
from llm_twin.collection.extraction.metadata import Metadata, read_metadata
from llm_twin.collection.extraction.trees import decode_page, parse_page
from llm_twin.collection.extraction.units import Unit, list_units, tokenize
from llm_twin.collection.extraction.voting import select_units
from llm_twin.collection.extraction.witnesses import Coverage, ask_readability, ask_trafilatura
from llm_twin.collection.records import ItemError

# Nobody's article, for either witness, but rich in text.
_NEVER = ("script", "style", "noscript", "template", "svg", "iframe")
HIDDEN_WORDS = 60  # an article that is nowhere in the markup has at least so many
HIDDEN_SHARE = 0.5  # and less than this of it is there


@dataclass(frozen=True)
class Page:
    """What a page holds. Dates are ISO 8601; `text` is Markdown; empty where the page says nothing."""

    url: str
    title: str = ""
    subtitle: str = ""
    author: str = ""
    published: str = ""
    updated: str = ""
    language: str = ""
    tags: list[str] = field(default_factory=list)
    text: str = ""


def extract_page(raw: bytes, url: str, charset: str | None = None) -> Page:
    """Extract an article from a page's bytes. Raises ItemError if there is none."""
    root = parse_page(decode_page(raw, charset))
    if root is None:
        raise ItemError(url, "empty", "no markup in it")
    about = read_metadata(root, url)
    whole = copy.deepcopy(root)
    body = root.find("body")
    for element in list(root.iter(*_NEVER)):
        # Pictures that wait for a script hide in noscript; so does, now and then, a whole article.
        if element.tag != "noscript" or len(element.findall(".//p")) < 3:
            element.drop_tree()
    units = list_units(root if body is None else body)
    first, second = ask_trafilatura(whole, url), ask_readability(root)
    kept = select_units(units, first, second)
    kept, subtitle = _drop_title(kept, about)
    wanted = {id(unit.element) for unit in kept}
    text = render_markdown(root if body is None else body, lambda element: _is_wanted(element, wanted))
    if _lies_elsewhere(first, units, kept):
        text = "\n\n".join(line.strip() for line in first.texts if line.strip())
    if not text.strip():
        raise ItemError(url, "empty", "no article in this page")
    return Page(
        url=about.url or url,
        title=about.title,
        subtitle=subtitle,
        author=about.author,
        published=about.published,
        updated=about.updated,
        language=about.language,
        tags=about.tags,
        text=text,
    )


def _lies_elsewhere(found: Coverage, units: list[Unit], kept: list[Unit]) -> bool:
    """Whether trafilatura found an article that the page's markup does not hold: in JSON-LD, for a script to show."""
    if len(found.tokens) < max(HIDDEN_WORDS, 2 * sum(len(unit.tokens) for unit in kept)):
        return False
    visible = Coverage(unit.text for unit in units)
    return visible.share(found.tokens) < HIDDEN_SHARE


def _is_wanted(element: HtmlElement, wanted: set[int]) -> bool:
    """Whether an element's own text was kept."""
    return id(element) in wanted


def _drop_title(kept: list[Unit], about: Metadata) -> tuple[list[Unit], str]:
    """(the units without a heading that repeats the title or subtitle at the top, the subtitle that stood there)."""
    title, described = tokenize(about.title), tokenize(about.subtitle)
    subtitle = ""
    rest = list(kept)
    for unit in kept[:4]:
        is_heading = unit.element.tag in HEADINGS
        if is_heading and unit.tokens == title:
            rest.remove(unit)
        elif described and unit.tokens == described and len(unit.tokens) < 40 and len(kept) > 3:
            subtitle = about.subtitle
            rest.remove(unit)
    return rest, subtitle
