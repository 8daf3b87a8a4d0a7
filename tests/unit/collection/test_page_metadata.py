"""What a page says of itself: bylines without dates and roles, titles without the site, dates where they are shown."""

from __future__ import annotations

import json

import pytest

from llm_twin.collection.extraction.bylines import clean_byline
from llm_twin.collection.extraction.metadata import Metadata, read_metadata
from llm_twin.collection.extraction.trees import parse_page


def read(head: str, body: str = "", url: str = "https://harbour.example/2024/a") -> Metadata:
    root = parse_page(f"<html><head>{head}</head><body>{body}</body></html>")
    assert root is not None
    return read_metadata(root, url)


def linked(content: dict[str, object]) -> str:
    return f'<script type="application/ld+json">{json.dumps(content)}</script>'


@pytest.mark.parametrize(
    ("byline", "name"),
    [
        ("By Ada Moss", "Ada Moss"),
        ("BY ADA MOSS - Apr 16, 2015 8:02 pm UTC", "ADA MOSS"),
        ("View all posts by Ada Moss", "Ada Moss"),
        ("Von: Ada Moß", "Ada Moß"),
        ("Ada Moss • 8h", "Ada Moss"),
        ("Ada Moss22 Dec 2016651", "Ada Moss"),
        ("Ada Moss, 07 Dezember, 2022", "Ada Moss"),
        ("8. Januar 2020 · by Ada · in Tides", "Ada"),
        ("Posted by Ada Moss at 18:52", "Ada Moss"),
        ("Ada Moss (https://moss.example/)", "Ada Moss"),
        ("Ada Moss and Bo O'Neil", "Ada Moss and Bo O'Neil"),
        ("Jean-Paul Moss, PhD", "Jean-Paul Moss, PhD"),
        ("Byron May", "Byron May"),
        ("– Ada Moss –", "Ada Moss"),
        ("https://facebook.example/ada", ""),
        ("A long sentence that happens to stand in an element whose class says author, of all things", ""),
        ("12.05.2024", ""),
        ("", ""),
    ],
)
def test_bylines(byline: str, name: str) -> None:
    assert clean_byline(byline) == name
    assert clean_byline(clean_byline(byline)) == name


def test_people_come_before_the_house_that_publishes_them() -> None:
    house = linked({"@type": "NewsArticle", "author": {"@type": "Organization", "name": "The Harbour"}})
    site = '<meta property="og:site_name" content="The Harbour"><meta name="author" content="The Harbour">'
    byline = '<article><p class="byline">By <a>Ada Moss</a></p><p>Text.</p></article>'
    comment = '<div class="comments"><span class="comment-author">Bo</span><a rel="author">Cy</a></div>'
    assert read(house + site, byline + comment).author == "Ada Moss"
    assert read(house + site, comment).author == "The Harbour"
    assert read("", comment).author == ""
    two = linked({"@type": "BlogPosting", "author": [{"name": "Ada"}, {"name": "Bo"}]})
    assert read(two, byline).author == "Ada, Bo"


def test_the_title_is_the_article_s_and_not_the_site_s() -> None:
    banner = '<h1><a href="/">The Harbour</a></h1>'
    assert read("<title>On gauges - The Harbour</title>", f"{banner}<h2>On gauges</h2>").title == "On gauges"
    assert read("<title>On gauges | The Harbour</title>", banner).title == "On gauges"
    named = '<meta property="og:site_name" content="The Harbour"><meta property="og:title" content="The Harbour">'
    assert read(f"{named}<title>On gauges | The Harbour</title>", "<h1>On gauges</h1>").title == "On gauges"
    assert read('<meta property="dc:title og:title" content="On gauges">').title == "On gauges"
    assert read("", "<h1>On gauges</h1>").title == "On gauges"


def test_a_day_that_only_the_page_s_text_shows() -> None:
    shown = "<article><p class='date'>Published on 3 March 2024</p><p>Text.</p></article>"
    assert read("<title>x</title>", shown).published == "2024-03-03T00:00:00Z"
    marked = '<meta property="article:published_time" content="2024-02-03T04:05:06Z">'
    assert read(marked, shown).published == "2024-02-03T04:05:06Z"
    assert read("<title>x</title>", "<p>In 1987 there was a storm.</p>", "https://x.example/a").published == ""
