"""Extract one page: its text in Markdown, and what it says of itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from lxml.html import HtmlElement

from llm_twin.collection.extraction.formulas import write_out_formulas
from llm_twin.collection.extraction.markdown import HEADINGS, render_markdown
from llm_twin.collection.extraction.metadata import Metadata, read_metadata, read_told_text
from llm_twin.collection.extraction.trees import UNREAD_TAGS, decode_page, drop_hidden, parse_page
from llm_twin.collection.extraction.units import Unit, list_units, tokenize
from llm_twin.collection.extraction.voting import select_units
from llm_twin.collection.extraction.witnesses import BREAKDOWNS, Coverage, ask_readability, ask_trafilatura
from llm_twin.collection.records import ItemError

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
    """Extract an article from a page's bytes. Raises ItemError if there is none, or if no parser gets through it."""
    try:
        return _extract(raw, url, charset)
    except BREAKDOWNS as error:
        raise ItemError(url, "unreadable", f"{type(error).__name__}: {str(error)[:200]}") from error


def _extract(raw: bytes, url: str, charset: str | None) -> Page:
    root = parse_page(decode_page(raw, charset))
    if root is None:
        raise ItemError(url, "empty", "no markup in it")
    about = read_metadata(root, url)
    read = read_by_all(root, url)
    kept = _drop_title(select_units(read.units, read.first, read.second, read.told), about)
    wanted = {id(unit.element) for unit in kept}
    text = render_markdown(read.body, lambda element: _is_wanted(element, wanted))
    if _lies_elsewhere(read.first, read.units, kept):
        text = "\n\n".join(line.strip() for line in read.first.texts if line.strip())
    if not text.strip():
        raise ItemError(url, "empty", "no article in this page")
    return Page(
        url=about.url or url,
        title=about.title,
        subtitle=about.subtitle,
        author=about.author,
        published=about.published,
        updated=about.updated,
        language=about.language,
        tags=about.tags,
        text=text,
    )


@dataclass(frozen=True)
class Reading:
    """A page before it is judged: its units, and what each witness keeps of them."""

    body: HtmlElement
    units: list[Unit]
    first: Coverage  # trafilatura's
    second: Coverage  # readability-lxml's
    told: Coverage  # the page's own, in JSON-LD


def read_by_all(root: HtmlElement, url: str) -> Reading:
    """Ask all witnesses. Changes `root`."""
    told = Coverage(read_told_text(root).split("\n"))
    drop_hidden(root)
    write_out_formulas(root)
    whole = copy.deepcopy(root)
    found = root.find("body")
    body = root if found is None else found
    for element in list(root.iter(*UNREAD_TAGS)):
        # Pictures that wait for a script hide in noscript; so does, now and then, a whole article.
        if element.tag != "noscript" or len(element.findall(".//p")) < 3:
            element.drop_tree()
    return Reading(body, list_units(body), ask_trafilatura(whole, url), ask_readability(root), told)


def _lies_elsewhere(found: Coverage, units: list[Unit], kept: list[Unit]) -> bool:
    """Whether trafilatura found an article that the page's markup does not hold: in JSON-LD, for a script to show."""
    if len(found.tokens) < max(HIDDEN_WORDS, 2 * sum(len(unit.tokens) for unit in kept)):
        return False
    visible = Coverage(unit.text for unit in units)
    return visible.share(found.tokens) < HIDDEN_SHARE


def _is_wanted(element: HtmlElement, wanted: set[int]) -> bool:
    """Whether an element's own text was kept."""
    return id(element) in wanted


def _drop_title(kept: list[Unit], about: Metadata) -> list[Unit]:
    """The units without a heading at the top that only repeats the title: that has a field of its own."""
    title = tokenize(about.title)
    repeated = {id(unit) for unit in kept[:4] if unit.element.tag in HEADINGS and unit.tokens == title}
    return [unit for unit in kept if id(unit) not in repeated]
