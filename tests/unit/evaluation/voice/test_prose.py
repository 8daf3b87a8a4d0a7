from llm_twin.evaluation.voice.masking import mask_tokens
from llm_twin.evaluation.voice.prose import count_words, cut_pieces, extract_prose

PAGE = """---
title: A post
tags: [tide]
---

# The harbour at night

I went down to the harbour—as I do on most nights—and found that the “tide” wasn’t where I’d left it.

```python
def tide(): return "the code that is not prose and should never be counted at all"
```

> Somebody else said this and it is a quotation that must not count as mine at all.

- a list of things
- I kept the second item because it is a whole sentence that runs on as prose does.

| a | table |
|---|-------|

See [the gauge that I wrote about last year](http://x.example/a_(b)) and `read()` it before you go out there again.

[1]: http://x.example/reference

    indented code that is also not prose and should not be counted by anyone

Menu Home About Contact Subscribe Archive Login Search Share Tweet Pin Email Print
"""


def test_only_the_authors_running_prose_is_left():
    paragraphs = extract_prose(PAGE)
    assert len(paragraphs) == 3
    text = "\n".join(paragraphs)
    for gone in ("title", "def tide", "Somebody", "table", "http", "indented", "Menu", "a list of things", "night\n"):
        assert gone not in text
    assert "the gauge that I wrote about last year" in text


def test_typography_of_the_publisher_is_made_alike():
    curly = extract_prose("I said that “it’s late” – or so I thought – and he said it was not at all… late to me.")
    plain = extract_prose('I said that "it\'s late" - or so I thought - and he said it was not at all... late to me.')
    assert curly == plain and len(plain) == 1


def test_pieces_have_exactly_the_length_and_nothing_twice():
    paragraphs = [" ".join(f"w{n}" for n in range(70)), " ".join(f"v{n}" for n in range(55))]
    pieces = cut_pieces(paragraphs, 50)
    assert [len(piece.split()) for piece in pieces] == [50, 50]
    assert " ".join(pieces).split() == " ".join(paragraphs).split()[:100]
    assert "\n" in pieces[1] and count_words(paragraphs) == 125
    assert cut_pieces([], 50) == []


def test_topic_words_are_masked_and_function_words_stay():
    assert mask_tokens("The Harbour's 12 gauges, NASA said, weren't slow.") == [
        "The", "A*", "#", "#", "a*", ",", "AA", "said", ",", "weren't", "a*", ".",
    ]  # fmt: skip
    assert mask_tokens("The pike swims") == mask_tokens("The cart rolls")
