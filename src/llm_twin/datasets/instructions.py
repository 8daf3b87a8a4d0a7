"""Instruction samples by backtranslation: the output is the author's passage, the instruction is made to fit it.

After Li et al. 2023 (Self-Alignment with Instruction Backtranslation). Without an LLM the instruction comes from
what the author put there: headings, questions, code, the passage before, and the passage's key phrases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from llm_twin.datasets.blocks import sentence_spans
from llm_twin.datasets.keyphrases import PhraseWeights
from llm_twin.datasets.passages import Passage, count_words
from llm_twin.documents import InstructionSample, Split, stable_id
from llm_twin.prompts import render_prompt
from llm_twin.recipes import DatasetsRecipe

MAX_CODE_CHARACTERS = 1200
MAX_BEFORE_WORDS = 60


def write_instructions(
    passages: Iterable[Passage], splits: dict[str, Split], weights: PhraseWeights, recipe: DatasetsRecipe
) -> Iterator[InstructionSample]:
    """One sample for each passage. The same passages, recipe and seed give the same samples."""
    for passage in passages:
        kind, source, instruction = compose_instruction(passage, weights, recipe)
        yield make_sample(passage, splits[passage.document.document_id], kind, source, instruction)


def make_sample(passage: Passage, split: Split, kind: str, source: str, instruction: str) -> InstructionSample:
    """The sample of a passage; its id derives from the revision, the span and the instruction."""
    document = passage.document
    return InstructionSample(
        sample_id=stable_id(document.document_id, document.revision_id, str(passage.start), passage.text, instruction),
        document_id=document.document_id,
        revision_id=document.revision_id,
        author=document.author,
        url=document.url,
        split=split,
        kind=kind,
        instruction=instruction,
        output=passage.text,
        instruction_source=source,
    )


def name_kind(passage: Passage) -> str:
    """What a passage is when nothing else decides: post, paragraphs (several) or sentences (one paragraph)."""
    if passage.document.kind == "post":
        return "post"
    return "paragraphs" if passage.paragraphs > 1 else "sentences"


def compose_instruction(passage: Passage, weights: PhraseWeights, recipe: DatasetsRecipe) -> tuple[str, str, str]:
    """(kind, instruction source, instruction) for a passage, without an LLM."""
    variant = draw_number(recipe.seed, passage)
    title = passage.document.title.strip()
    kind = name_kind(passage)
    if passage.code and len(passage.code) <= MAX_CODE_CHARACTERS:
        text = render_prompt("instruction_code", variant=variant, title=title, code=passage.code)
        return "code", "template", text
    question = _find_question(passage)
    if question:
        text = render_prompt("instruction_question", variant=variant, title=title, question=question)
        return kind, "question", text
    if passage.before and variant % 1000 < recipe.continuation_share * 1000:
        before = _tail(passage.before)
        text = render_prompt("instruction_continuation", variant=variant, title=title, before=before)
        return "continuation", "template", text
    phrases = weights.pick_phrases(passage.text, 3)
    if kind == "post":
        text = render_prompt("instruction_post", variant=variant, phrases=phrases)
        return kind, "key-phrase" if phrases else "template", text
    heading = passage.headings[-1].strip() if passage.headings else ""
    if heading and heading.casefold() != title.casefold():
        text = render_prompt(
            "instruction_heading", variant=variant, title=title or heading, heading=heading, phrases=phrases[:2]
        )
        return kind, "heading", text
    if phrases:
        text = render_prompt("instruction_phrases", variant=variant, title=title, phrases=phrases)
        return kind, "key-phrase", text
    return kind, "template", render_prompt("instruction_plain", variant=variant, title=title)


def draw_number(seed: int, passage: Passage) -> int:
    """A pseudo-random number below 2**32 that depends on the seed and the passage only."""
    key = f"{seed}\0{passage.document.document_id}\0{passage.start}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:4], "big")


def _find_question(passage: Passage) -> str:
    """The question that a passage answers: its heading, or the last sentence of the passage before."""
    if passage.headings and passage.headings[-1].rstrip("*_ ").endswith("?"):
        return passage.headings[-1].strip("*_ ")
    if passage.before:
        start, end = sentence_spans(passage.before, 0, len(passage.before))[-1]
        last = passage.before[start:end].strip("*_ ")
        if last.endswith("?") and 4 <= count_words(last) <= 40:
            return last
    return ""


def _tail(text: str) -> str:
    """The last whole sentences of a text, at most MAX_BEFORE_WORDS words (at least one sentence)."""
    spans = sentence_spans(text, 0, len(text))
    begin = spans[-1][0]
    for start, _ in reversed(spans[:-1]):
        if count_words(text[start:]) > MAX_BEFORE_WORDS:
            break
        begin = start
    return text[begin:]
