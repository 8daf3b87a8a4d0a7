"""Where few samples cover a topic: further instructions for the same passages, never further outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_twin.datasets.instructions import draw_number, make_sample, name_kind
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.passages import Passage
from llm_twin.documents import InstructionSample
from llm_twin.prompts import render_prompt
from llm_twin.recipes import DatasetsRecipe

MORE_A_PASSAGE = 2  # further instructions that one passage may get


def augment_thin(
    samples: Sequence[InstructionSample],
    passages: Sequence[Passage],
    topics: Sequence[dict[str, Any]],
    weights: PhraseWeights,
    recipe: DatasetsRecipe,
) -> list[InstructionSample]:
    """Further training samples for topics with fewer than `augment_topics_to`, at most two for each passage.

    `topics` are those of the quality report, each with the ids of its training samples. Held-out splits never grow.
    """
    if not recipe.augment_topics_to:
        return []
    by_id = {sample.sample_id: sample for sample in samples}
    where = {(p.document.document_id, p.text): p for p in passages}
    added: list[InstructionSample] = []
    for topic in topics:
        own = [by_id[name] for name in topic["train_ids"]]
        missing = recipe.augment_topics_to - len(own)
        for turn in range(MORE_A_PASSAGE):
            for sample in own:
                passage = where.get((sample.document_id, sample.output))
                if missing <= 0 or passage is None:
                    continue
                more = _reword(sample, passage, weights, recipe, turn)
                if more is not None:
                    added.append(more)
                    missing -= 1
    return added


def _reword(
    sample: InstructionSample, passage: Passage, weights: PhraseWeights, recipe: DatasetsRecipe, turn: int
) -> InstructionSample | None:
    """The same passage asked for by key phrases in another wording, or None if that is what it has already."""
    phrases = weights.pick_phrases(passage.text, 3 + turn)
    if not phrases:
        return None
    variant = draw_number(recipe.seed, passage) + 1 + turn
    title = passage.document.title.strip()
    instruction = render_prompt("instruction_phrases", variant=variant, title=title, phrases=phrases)
    if instruction == sample.instruction:
        return None
    return make_sample(passage, sample.split, name_kind(passage), "augmented", instruction)
