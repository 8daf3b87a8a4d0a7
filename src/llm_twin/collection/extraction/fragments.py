"""An article's own markup, as feeds and exports carry it, to Markdown."""

from __future__ import annotations

import re

from lxml import etree
from lxml import html as lxml_html

from llm_twin.collection.extraction.markdown import render_markdown

# Parts that platforms put between an author's paragraphs: subscription boxes, share buttons.
_WIDGETS = re.compile(r"subscription-widget|subscribe-widget|button-wrapper|captioned-button|share-dialog|paywall-jump")


def render_fragment(markup: str) -> str:
    """Markdown of a piece of HTML; empty for none."""
    markup = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", markup)
    if not markup.strip():
        return ""
    try:
        root = lxml_html.fromstring(f"<div>{markup}</div>" if "<body" not in markup.lower() else markup)
    except (etree.ParserError, etree.XMLSyntaxError):
        return ""
    for element in list(root.iter()):
        if isinstance(element.tag, str) and _WIDGETS.search(element.get("class") or "") and element is not root:
            element.drop_tree()
    return render_markdown(root)
