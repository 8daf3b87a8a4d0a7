"""From a page's bytes to the article a reader would want, in Markdown."""

from llm_twin.collection.extraction.pages import Page, extract_page

__all__ = ["Page", "extract_page"]
