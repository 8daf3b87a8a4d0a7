"""From a page's bytes to a tree: the right charset first, then a lenient parse."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes
from lxml import etree
from lxml import html as lxml_html
from lxml.html import HtmlElement

_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}\?>", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
SNIFF_BYTES = 4096
GUESS_BYTES = 60_000
WESTERN_SHARE = 0.3
HIDDEN_SHARE = 0.8  # of a page's letters
# Nobody's article, for either witness, but rich in text.
UNREAD_TAGS = ("script", "style", "noscript", "template", "svg", "iframe")
MAX_DEPTH = 400  # deeper markup is broken markup; what lies below is lifted up to there


def decode_page(raw: bytes, claimed: str | None = None) -> str:
    """A page's text. What decodes as UTF-8 is UTF-8, whatever header or page claim; then the page's claim counts,
    then the header's, then a guess from the bytes."""
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        # One broken sequence in an otherwise good page (a text cut in the middle of a letter) is no other charset.
        broken = raw.decode("utf-8", errors="replace").count("\ufffd")
        if broken <= 3 and sum(byte > 0x7F for byte in raw[:GUESS_BYTES]) > 20 * broken and error.start > 0:
            return raw.decode("utf-8", errors="replace")
    meta = _META_CHARSET.search(raw[:SNIFF_BYTES])
    for name in (meta[1].decode("ascii") if meta else None, claimed):
        known = _known_encoding(name)
        if known is not None:
            try:
                return raw.decode(known)
            except (UnicodeDecodeError, LookupError):
                continue
    sample = raw[:GUESS_BYTES]
    if sum(byte > 0x7F for byte in sample) < WESTERN_SHARE * len(sample):
        return raw.decode("cp1252", errors="replace")  # a few accents: browsers' own fallback, better than a guess
    best = from_bytes(sample).best()
    return raw.decode(best.encoding if best is not None else "cp1252", errors="replace")


def _known_encoding(name: str | None) -> str | None:
    """Python's name of a charset, by the rules of browsers: Latin-1 and ASCII mean Windows-1252."""
    if not name:
        return None
    try:
        encoding = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-8": None}.get(encoding, encoding)


def parse_page(text: str) -> HtmlElement | None:
    """The tree of a page, or None if there is no markup in it."""
    text = _CONTROLS.sub("", _XML_DECLARATION.sub("", text))
    if not text.strip():
        return None
    try:
        # A comment inside a paragraph makes trafilatura give the whole page up.
        parser = lxml_html.HTMLParser(remove_comments=True, remove_pis=True)
        root = lxml_html.document_fromstring(text, parser=parser, ensure_head_body=True)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return None
    flatten_depths(root)
    return root


def flatten_depths(root: HtmlElement) -> None:
    """Lift what lies too deep, so that nothing that walks the tree runs out of stack."""
    stack = [(root, 0)]
    too_deep = []
    while stack:
        element, depth = stack.pop()
        if depth == MAX_DEPTH:
            too_deep.append(element)
            continue
        stack.extend((child, depth + 1) for child in element)
    for element in too_deep:
        text = " ".join(element.itertext()) if isinstance(element.tag, str) else ""
        tail = element.tail
        for child in list(element):
            element.remove(child)
        element.text, element.tail = text, tail


def drop_hidden(root: HtmlElement) -> None:
    """Remove what the markup itself hides from a reader, unless that is most of the page: then a script shows it."""
    body = root.find("body")
    body = root if body is None else body
    hidden: list[HtmlElement] = []
    stack = [body]
    while stack:
        element = stack.pop()
        if is_hidden(element) and element.find(".//math") is None:
            hidden.append(element)
        else:
            stack.extend(child for child in element if isinstance(child.tag, str))
    if hidden and sum(map(_count_letters, hidden)) < HIDDEN_SHARE * _count_letters(body):
        for element in hidden:
            element.drop_tree()


def is_hidden(element: HtmlElement) -> bool:
    """Whether an element's own attributes keep it from being shown."""
    style = (element.get("style") or "").replace(" ", "").lower()
    return (
        (element.get("hidden") is not None and element.get("hidden") != "until-found")
        or "display:none" in style
        or "visibility:hidden" in style
        or element.get("aria-hidden") == "true"
    )


def _count_letters(element: HtmlElement) -> int:
    texts = [element.text, *(child.tail for child in element)] if element.tag not in UNREAD_TAGS else []
    own = sum(len(text.strip()) for text in texts if text)
    return own + sum(_count_letters(child) for child in element if isinstance(child.tag, str))
