"""Formulas as text: MathML, and the TeX that MathJax and KaTeX leave in a page, stay readable where they stood."""

from __future__ import annotations

from lxml.html import HtmlElement

_BESIDE = {"msup": "^", "msub": "_", "mfrac": "/", "mover": "^", "munder": "_"}
_BOTH = {"msubsup": ("_", "^"), "munderover": ("_", "^")}


def write_out_formulas(root: HtmlElement) -> None:
    """Replace each formula by its TeX, or of a plain line if the page does not carry the TeX."""
    for element in list(root.iter("math")):
        _replace(element, _read_tex(element) or _linearize(element))
    for element in list(root.iter("script")):
        kind = (element.get("type") or "").replace(" ", "")
        if kind.startswith("math/tex") and not _is_drawn(element):
            _replace(element, _in_dollars(element.text or "", "mode=display" in kind))


def _is_drawn(element: HtmlElement) -> bool:
    """Whether a script's formula stands before it already, as MathJax drew it when the page was saved."""
    before = element.getprevious()
    return before is not None and "MathJax" in (before.get("class") or "") and bool(before.text_content().strip())


def _read_tex(element: HtmlElement) -> str:
    is_display = element.get("display") == "block"
    for note in element.iter("annotation"):
        if "tex" in (note.get("encoding") or "").lower():
            return _in_dollars(note.text_content(), is_display)
    return _in_dollars(element.get("alttext") or "", is_display)


def _in_dollars(tex: str, is_display: bool) -> str:
    tex = " ".join(tex.split())
    mark = "$$" if is_display else "$"
    return f"{mark}{tex}{mark}" if tex else ""


def _linearize(element: HtmlElement) -> str:
    """One line of presentation MathML (W3C MathML 3, chapter 3): parts that belong together in brackets."""
    if not isinstance(element.tag, str) or element.tag in ("annotation", "annotation-xml"):
        return ""
    parts = [part for part in map(_linearize, element) if part]
    if element.tag in _BESIDE and len(parts) == 2:
        return _BESIDE[element.tag].join(map(_bracket, parts))
    if element.tag in _BOTH and len(parts) == 3:
        under, over = _BOTH[element.tag]
        return f"{parts[0]}{under}{_bracket(parts[1])}{over}{_bracket(parts[2])}"
    if element.tag == "msqrt":
        return f"√({' '.join(parts)})"
    if element.tag == "mroot" and len(parts) == 2:
        return f"({parts[0]})^(1/{parts[1]})"
    return " ".join(parts) if parts else " ".join((element.text or "").split())


def _bracket(part: str) -> str:
    return f"({part})" if " " in part else part


def _replace(element: HtmlElement, text: str) -> None:
    element.attrib.clear()
    for child in list(element):
        element.remove(child)
    element.text = text
    # Elements of MathJax's own making around it would cost it its place: extractors skip what they do not know.
    around = [e for e in element.iterancestors() if isinstance(e.tag, str) and e.tag.startswith("mjx-")]
    for wrapper in (element, *around):
        wrapper.drop_tag()
