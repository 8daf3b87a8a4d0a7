"""Instructions, rejected texts and filters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llm_twin.datasets.degrade import degrade_text
from llm_twin.datasets.filters import Dropped, apply_filters, list_filters
from llm_twin.datasets.instructions import compose_instruction
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.passages import cut_passages
from llm_twin.documents import CleanDocument, InstructionSample
from llm_twin.recipes import DatasetsRecipe

Make = Callable[..., CleanDocument]
ESSAY = """The harbour gauge stopped on a Tuesday. Nobody had touched it.

## Who reads the tide tables?

The ferry does, and the two herring boats, and a man on the hill who has never said why he wants them.

## The pump

```
while true; do pump; done
```

That keeps the well dry for as long as there is power, and it has no idea whether the well is wet.

Saltwater got into the pump’s bearing in the second winter, and we found out in the third."""


def test_instructions_come_from_what_the_author_put_there(make_document: Make) -> None:
    recipe = DatasetsRecipe(continuation_share=0)
    document = make_document(ESSAY, title="A dry well")
    passages = cut_passages(document, 8, 30)
    weights = PhraseWeights([ESSAY, "Something else about a ferry altogether."])
    found = [compose_instruction(passage, weights, recipe) for passage in passages]
    assert [(kind, source) for kind, source, _ in found] == [
        ("sentences", "key-phrase"), ("sentences", "question"), ("code", "template"), ("sentences", "heading"),
    ]  # fmt: skip
    assert "Who reads the tide tables?" in found[1][2]
    assert "while true; do pump; done" in found[2][2]
    assert "The pump" in found[3][2]
    continued = compose_instruction(passages[3], weights, DatasetsRecipe(continuation_share=1))
    assert continued[0] == "continuation" and passages[2].text in continued[2]


def test_a_degraded_text_has_lost_the_voice_and_kept_the_facts() -> None:
    text = (
        "I’d had 3 clips — “spares”, I said — since March. They’re gone! Don’t ask (it’s a long story) 🧂. Ilse knows."
    )
    flat, changes = degrade_text(text, "seed")
    assert "I had had 3 clips" in flat and "they are gone" in flat and "Ilse" in flat and "March" in flat
    for mark in ("’", "—", "“", "!", "(", "🧂"):
        assert mark not in flat
    assert {"contractions spelt out", "markup and emoji removed"} <= set(changes)
    assert degrade_text(text, "seed") == (flat, changes)
    assert any(degrade_text(text, str(n))[0] != flat for n in range(5))


def make_sample(output: str, instruction: str = "Write about it.") -> InstructionSample:
    return InstructionSample(
        sample_id=str(hash(output)), document_id="d", revision_id="r", author="a", url="u", split="train",
        kind="post", instruction=instruction, output=output, instruction_source="template",
    )  # fmt: skip


PLAIN = "The well was dry by noon, and we sat on the wall and ate our bread in the sun, which is rare up here."
FRENCH = (
    "Le port était vide ce matin, et le vent soufflait du nord comme il le fait toujours en janvier, avec une"
    " obstination que les pêcheurs connaissent bien et dont ils ne parlent jamais devant les visiteurs."
)


@pytest.mark.parametrize(
    ("output", "taken"),
    [
        (PLAIN, ""),
        ("Too short.", "length"),
        ("word " * 200, "length"),
        (FRENCH, "language"),
        (
            "Subscribe now to my letter, share this post with friends and leave a comment if you liked what you read.",
            "spam",
        ),
        ("| 12 | 33 | 9 | 1 | 0 | 2,5 | 77 | 1 | 3 | 88 | 2 | 4 | 6 | 8 | 1 | 9 | 12 | 33 | ok", "low quality"),
        ("so it goes on and on and on and on and on and on and on and on and on and on and on and on.", "low quality"),
        (f"{PLAIN} And you stupid idiot never listened.", "toxicity"),
        (f"{PLAIN} Write to me at odalys.private@harbour-office.org for more.", "personal data"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_filters_take_what_they_are_for_and_nothing_else(output: str, taken: str) -> None:
    dropped = Dropped()
    kept = apply_filters([make_sample(output)], list_filters(DatasetsRecipe(), {"d": "en"}), dropped)
    assert {name for name, count in dropped.counts.items() if count} == ({taken} if taken else set())
    assert bool(kept) == (not taken)


def test_an_instruction_that_gives_the_answer_away_goes() -> None:
    dropped = Dropped()
    apply_filters([make_sample(PLAIN, f"Say this: {PLAIN}")], list_filters(DatasetsRecipe(), {}), dropped)
    assert dropped.counts["echo"] == 1
