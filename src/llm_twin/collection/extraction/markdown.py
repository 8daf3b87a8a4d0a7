"""HTML to Markdown that harms nothing: words, punctuation, line breaks, lists and code stay as the author set them.

Links keep their words and lose their addresses, emphasis loses its marks: for a model that learns a voice, and
for retrieval, both are noise. Code keeps every space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lxml.html import HtmlElement

BLOCK_TAGS = frozenset(
    "address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav noscript ol p pre section summary table tbody "
    "td tfoot th thead tr ul".split()
)
SKIPPED_TAGS = frozenset(
    "script style template svg math iframe object embed canvas audio video button input select textarea option "
    "link meta head title source track map area noembed noframes applet".split()
)
HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}

_SPACES = re.compile(r"[ \t\r\n\f\v\u00a0\u200b\ufeff]+")
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:language|lang|highlight|brush|highlight-source|sourceCode|src)[-: ]\s*([A-Za-z0-9+#_-]+)"
)
_LANGUAGE_NAME = re.compile(r"[A-Za-z0-9+#_-]{1,20}")
_IN_LAYOUT_CELLS = ("table", "pre", "p", "ul", "ol", "h2", "h3")
_BLANK_LINES = re.compile(r"\n{3,}")
_MARK = "\x00"  # stands for a line break set by <br> until spaces are folded

Keep = Callable[[HtmlElement], bool]


def render_markdown(root: HtmlElement, keep: Keep | None = None) -> str:
    """Markdown of `root`'s content; of the leaf blocks, only those that `keep` accepts."""
    blocks = [block for block in _render_children(root, keep) if block.strip()]
    return _BLANK_LINES.sub("\n\n", "\n\n".join(blocks)).strip("\n")


def has_block_child(element: HtmlElement) -> bool:
    """Whether an element holds block elements at any depth below inline ones."""
    return any(isinstance(child.tag, str) and child.tag in BLOCK_TAGS for child in element.iterdescendants())


def _render_children(element: HtmlElement, keep: Keep | None) -> Iterator[str]:
    """The blocks inside an element; runs of inline content between blocks become paragraphs."""
    inline: list[str] = []

    def flush() -> Iterator[str]:
        text = _finish("".join(inline))
        inline.clear()
        if text and (keep is None or keep(element)):
            yield text

    inline.append(element.text or "")
    for child in element:
        if isinstance(child.tag, str) and child.tag not in SKIPPED_TAGS:
            if child.tag in BLOCK_TAGS:
                yield from flush()
                yield from _render_block(child, keep)
            elif child.tag == "br" and _is_br(child.getnext()) and not (child.tail or "").strip():
                yield from flush()  # two breaks in a row are a paragraph by another name
            elif has_block_child(child):
                yield from flush()
                yield from _render_children(child, keep)
            else:
                inline.append(_render_inline(child))
        inline.append(child.tail or "")
    yield from flush()


def _is_br(element: HtmlElement | None) -> bool:
    return element is not None and element.tag == "br"


def _render_block(element: HtmlElement, keep: Keep | None) -> Iterator[str]:
    tag = element.tag
    if tag == "pre":
        if keep is None or keep(element):
            yield _render_code(element)
    elif tag in HEADINGS:
        if keep is None or keep(element):
            text = _finish(_inline_content(element)).replace("\n", " ")
            if text:
                yield f"{HEADINGS[tag]} {text}"
    elif tag in ("ul", "ol", "menu"):
        yield from _render_list(element, keep)
    elif tag == "blockquote":
        inner = "\n\n".join(_render_children(element, keep))
        if inner.strip():
            yield "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
    elif tag == "table":
        yield from _render_table(element, keep)
    elif tag == "hr":
        if keep is None:
            yield "---"
    elif tag == "li":  # a stray one
        yield from ("- " + _indent(block, "  ") for block in _render_children(element, keep))
    else:
        yield from _render_children(element, keep)


def _render_list(element: HtmlElement, keep: Keep | None) -> Iterator[str]:
    """One block for the whole list; items of several blocks are indented under their mark."""
    lines: list[str] = []
    number = int(element.get("start") or 1) if (element.get("start") or "1").isdigit() else 1
    loose = False
    for child in element:
        if not isinstance(child.tag, str) or child.tag in SKIPPED_TAGS:
            continue
        if child.tag in ("ul", "ol", "menu"):  # a list straight inside a list, as old editors wrote it
            lines += [_indent("  " + block, "  ") for block in _render_list(child, keep)]
            continue
        blocks = [block for block in _render_children(child, keep) if block.strip()]
        if not blocks:
            continue
        mark = f"{number}. " if element.tag == "ol" else "- "
        number += 1
        nested_only = all(re.match(r"(- |\d+\. )", block) for block in blocks[1:])
        loose = loose or (len(blocks) > 1 and not nested_only)
        lines.append(mark + _indent(("\n" if nested_only else "\n\n").join(blocks), " " * len(mark)))
    if lines:
        yield ("\n\n" if loose else "\n").join(lines)


def _render_table(element: HtmlElement, keep: Keep | None) -> Iterator[str]:
    """A data table as a pipe table; a table used for layout, or around code, as its content."""
    rows = [row for row in element.iter("tr") if next(row.iterancestors("table"), None) is element]
    cells = [[cell for cell in row if cell.tag in ("td", "th")] for row in rows]
    layout = (
        len(rows) < 2
        or max(map(len, cells), default=0) < 2
        or any(
            cell.find(f".//{tag}") is not None
            for row in cells
            for cell in row
            for tag in ("table", "pre", "p", "ul", "ol", "h2", "h3")
        )
    )
    if layout:
        code = element.findall(".//pre")
        if len(code) > 1 and len(rows) == 1:  # a gutter of line numbers beside the code
            yield from _render_block(code[-1], keep)
            return
        for row in cells:
            for cell in row:
                yield from _render_children(cell, keep)
        return
    lines = []
    for index, row in enumerate(cells):
        texts = [_finish(_inline_content(cell)).replace("\n", " ").replace("|", "\\|") for cell in row]
        if not any(texts) or (keep is not None and not any(keep(cell) for cell in row)):
            continue
        lines.append("| " + " | ".join(texts) + " |")
        if len(lines) == 1 and index == 0:
            lines.append("|" + " --- |" * len(row))
    if len(lines) > 1:
        yield "\n".join(lines)


def _render_code(element: HtmlElement) -> str:
    """A fence longer than any inside, with the language that the markup names."""
    code = _code_text(element).replace("\r\n", "\n").strip("\n").rstrip()
    if not code:
        return ""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", code)), default=0))
    return f"{fence}{_code_language(element)}\n{code}\n{fence}"


def _code_text(element: HtmlElement) -> str:
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str):
            if child.tag == "br":
                parts.append("\n")
            elif child.tag not in SKIPPED_TAGS:
                inner = _code_text(child)
                if child.tag in ("div", "p", "li", "tr") and parts and not "".join(parts).endswith("\n") and any(parts):
                    parts.append("\n")
                parts.append(inner)
        parts.append(child.tail or "")
    return "".join(parts)


def _code_language(element: HtmlElement) -> str:
    holders = [element, *element.iterdescendants("code"), *list(element.iterancestors())[:2]]
    for holder in holders:
        for name in ("data-lang", "data-language", "lang"):
            if holder.tag in ("pre", "code", "div", "figure") and re.fullmatch(
                r"[A-Za-z0-9+#_-]{1,20}", holder.get(name) or ""
            ):
                return str(holder.get(name)).lower()
        match = _LANGUAGE.search(holder.get("class") or "")
        if match and match[1].lower() not in ("plaintext", "none", "text"):
            return match[1].lower()
    return ""


def _render_inline(element: HtmlElement) -> str:
    tag = element.tag
    if tag == "br":
        return _MARK
    if tag in ("code", "kbd", "samp", "tt"):
        code = _SPACES.sub(" ", "".join(element.itertext())).strip()
        if not code:
            return ""
        fence = "``" if "`" in code else "`"
        return f"{fence}{code}{fence}" if fence == "`" else f"{fence} {code} {fence}"
    if tag == "img" or tag in SKIPPED_TAGS:
        return ""
    return _inline_content(element)


def _inline_content(element: HtmlElement) -> str:
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag not in SKIPPED_TAGS:
            if child.tag in BLOCK_TAGS:
                parts += [_MARK, _inline_content(child), _MARK]
            else:
                parts.append(_render_inline(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _finish(text: str) -> str:
    """Fold spaces; keep the breaks that were set on purpose, one to a line."""
    lines = [_SPACES.sub(" ", line).strip() for line in text.split(_MARK)]
    return "\n".join(line for line in lines if line)


def _indent(text: str, by: str) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(by + line if line else line for line in rest)])
