"""Lines that hold something are found, whole and once each; what reads only those finds what it found in all."""

from __future__ import annotations

import re

import ftfy
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_twin.features.cleaning import repair_encoding
from llm_twin.lines import find_lines
from llm_twin.privacy import find_pii

NUMBERS = ["536-90-4399", "AB 12 34 56 C", "12345678Z", "RSSMRA85T10A562S", "PAN: ABCPE1234F", "+47 22 12 34 56"]
NUMBERS += ["(415) 555-2671", "756.9217.0769.85", "SSN", "536904399", "131052-308T", "GB82 WEST 1234 5698 7654 32"]
ODD = ["\r", "\u2028", "\x1b[31m", "â€œ", "naïve", "Ã©", "\x00", "’", "\x85"]


@given(st.lists(st.sampled_from(["a1", "b", "\n", "22", " "])).map("".join))
def test_the_lines_with_a_mark(text: str) -> None:
    lines = [line for line in text.split("\n") if re.search(r"\d", line)]
    assert [text[start:end] for start, end in find_lines(text, re.compile(r"\d"))] == lines


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*NUMBERS, "\n", " ", "word ", ". "]), max_size=20).map("".join))
def test_other_lines_hide_no_numbers(text: str) -> None:
    """Every number that stands alone on its line is found between lines that hold none."""
    found = [text[one.start : one.end] for one in find_pii(text)]
    around = f"nothing here\n\n{text}\n\nnor here"
    assert [around[one.start : one.end] for one in find_pii(around)] == found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*ODD, "\n", " ", "plain words", "<b>"]), max_size=20).map("".join))
def test_only_unusual_lines_are_mended_and_as_ftfy_would(text: str) -> None:
    config = ftfy.TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization=None,
        unescape_html=False,
    )  # fmt: skip
    assert repair_encoding(text) == ftfy.fix_text(text, config)
