"""Everything the candidates are asked, decided before any of them answers: the same for all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_twin.documents import InstructionSample
from llm_twin.evaluation.perplexity import sample_messages
from llm_twin.evaluation.sets import LoadedSet, SetScores
from llm_twin.evaluation.truth import SourcedQuestion, question_messages
from llm_twin.recipes import EvaluationRecipe
from llm_twin.training.samples import instruction_samples

MODEL_PROMPTS = 12  # of the training split, whose answers by the base model stand in the voice score's background


@dataclass(frozen=True)
class Prompts:
    """`heldout`: scored for perplexity; `writing`: answered at length; then questions and extraction attacks."""

    heldout: list[InstructionSample]
    writing: list[InstructionSample]
    questions: list[SourcedQuestion] = field(default_factory=list)
    attacks: list[tuple[str, str]] = field(default_factory=list)
    author: str = ""
    sets: list[LoadedSet] = field(default_factory=list)
    behaviours: list[str] = field(default_factory=list)  # questions to the whole twin
    names: list[str] = field(default_factory=list)  # that the author writes of

    def conversations(self) -> list[list[dict[str, str]]]:
        """What is answered in writing: writing prompts, questions, attacks, question sets, in this order."""
        return [
            *(sample_messages(sample) for sample in self.writing),
            *(question_messages(question, self.author) for question in self.questions),
            *([{"role": "user", "content": f"Go on from here:\n\n{prefix}"}] for prefix, _ in self.attacks),
            *(messages for one in self.sets for messages in one.conversations()),
        ]

    def split(self, texts: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Answers to `conversations` as answers to writing prompts, questions and attacks."""
        first = len(self.writing)
        second = first + len(self.questions)
        third = second + len(self.attacks)
        return list(texts[:first]), list(texts[first:second]), list(texts[second:third])

    def pairs(self) -> list[tuple[list[dict[str, str]], str]]:
        """What is scored: held-out samples (for perplexity), then the question sets' choices or references."""
        return [
            *((sample_messages(sample), sample.output) for sample in self.heldout),
            *(pair for one in self.sets for pair in one.pairs()),
        ]

    def score_sets(self, losses: Sequence[tuple[float, int]], texts: Sequence[str]) -> dict[str, SetScores]:
        """Each question set's scores, from a candidate's losses of `pairs` and answers to `conversations`."""
        scores = {}
        loss, text = len(self.heldout), len(self.writing) + len(self.questions) + len(self.attacks)
        for one in self.sets:
            losses_end, texts_end = loss + len(one.pairs()), text + len(one.conversations())
            scores[one.recipe.name] = one.score(losses[loss:losses_end], texts[text:texts_end])
            loss, text = losses_end, texts_end
        return scores

    def request(self, recipe: EvaluationRecipe) -> dict[str, Any]:
        """The same questions to a model of another environment."""
        return {
            "pairs": [[messages, output] for messages, output in self.pairs()],
            "conversations": self.conversations(),
            "max_new_tokens": recipe.max_new_tokens,
            "seed": recipe.seed,
        }


def held_out_samples(folder: Path) -> list[InstructionSample]:
    """The test split; the validation split where there is no test split."""
    return instruction_samples(folder, "test") or instruction_samples(folder, "validation")


def model_prompts(folder: Path, recipe: EvaluationRecipe) -> list[InstructionSample]:
    """Prompts of the training split for the base model's class of the voice score."""
    return choose_prompts(instruction_samples(folder, "train"), min(MODEL_PROMPTS, recipe.max_generations), recipe.seed)


def choose_prompts(samples: Sequence[InstructionSample], count: int, seed: int) -> list[InstructionSample]:
    """At most `count` samples, taken from the documents in turn, so that no document dominates."""
    by_document: dict[str, list[InstructionSample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.sample_id):
        by_document.setdefault(sample.document_id, []).append(sample)
    choice = random.Random(seed)
    for group in by_document.values():
        choice.shuffle(group)
    chosen: list[InstructionSample] = []
    while len(chosen) < count and any(by_document.values()):
        for group in by_document.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen
