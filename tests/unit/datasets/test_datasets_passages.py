"""Passages are slices of what was written, whatever is in it."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_twin.datasets.blocks import sentence_spans, split_blocks
from llm_twin.datasets.passages import count_words, cut_passages
from llm_twin.documents import CleanDocument

TEXT = """# Don’t oil the gauge

It’s the salt — always the salt 🧂 — that gets in.  Nobody’s “fixed” it,
and nobody… will; I wouldn’t.

- first, the float
- then the well

> Somebody else said this, at length and with great confidence, many years ago.

## How long does it take?

```python
for hour in range(24):
    print(hour)
```

That loop runs once an hour. It doesn’t know what day it is, and that’s the point of it.

| a | b |
|---|---|
| 1 | 2 |

![a picture](x.png)

Done.
"""


def test_blocks_know_what_they_are() -> None:
    kinds = [block.kind for block in split_blocks(TEXT)]
    assert kinds == ["heading", "prose", "list", "quote", "heading", "code", "prose", "other", "other", "prose"]


def test_passages_are_slices_with_their_headings_and_code(make_document: Callable[..., CleanDocument]) -> None:
    first, second = cut_passages(make_document(TEXT), min_words=5, max_words=60)
    assert first.text == TEXT[first.start : first.end]
    assert first.text.startswith("It’s the salt — always the salt 🧂 — that gets in.  Nobody’s “fixed” it,\nand")
    assert first.text.endswith("- then the well") and first.paragraphs == 2
    assert second.headings == ("Don’t oil the gauge", "How long does it take?")
    assert second.code.startswith("```python") and second.code.endswith("```")
    assert "Somebody else" not in first.text + second.text  # quotations are not the author's words


def test_a_long_paragraph_is_cut_between_sentences(
    make_document: Callable[..., CleanDocument], write_text: Callable[[int, int], str]
) -> None:
    text = write_text(1, 6).replace("\n\n", " ")
    passages = cut_passages(make_document(text), min_words=5, max_words=50)
    assert len(passages) > 3
    assert all(5 <= count_words(p.text) <= 50 and p.text.endswith(".") for p in passages)
    assert " ".join(p.text for p in passages) == text  # nothing lost, nothing twice


def test_a_short_post_is_one_whole_passage(make_document: Callable[..., CleanDocument]) -> None:
    text = "Low water at six. I’ve been there since five, and so has the heron. It’s winning!"
    (passage,) = cut_passages(make_document(text, kind="post"), min_words=5, max_words=100)
    assert passage.whole and passage.text == text


def test_abbreviations_and_decimals_do_not_end_sentences() -> None:
    text = "See e.g. Dr. Marlow, who measured 3.5 m. It was J. Smith’s boat! Was it? Yes."
    found = [text[start:end] for start, end in sentence_spans(text, 0, len(text))]
    assert found[-3:] == ["It was J. Smith’s boat!", "Was it?", "Yes."]
    assert found[0] == "See e.g. Dr. Marlow, who measured 3.5 m."


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab .!?\n#>`|-*’“—🧂\t\r1[]()")), max_size=400))
def test_any_text_gives_disjoint_slices_in_order(text: str) -> None:
    document = CleanDocument(
        document_id="d",
        revision_id="r",
        author="a",
        platform="site",
        kind="article",
        url="u",
        text=text,
        retrieval_text="",
    )
    end = 0
    for passage in cut_passages(document, min_words=1, max_words=12):
        assert passage.start >= end and passage.text == text[passage.start : passage.end]
        assert 1 <= count_words(passage.text) <= 12
        end = passage.end
