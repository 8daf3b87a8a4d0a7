# ruff: noqa: E501 - a pattern broken over more lines is harder to read than a long one
"""The guards around an answer: what comes in, what was retrieved, what goes out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from llm_twin.documents import AnswerSentence, Chunk
from llm_twin.privacy.masking import find_pii, mask_pii
from llm_twin.recipe_serving import GuardrailsRecipe
from llm_twin.serving.guardrails.classifiers import load_classifier
from llm_twin.serving.guardrails.injection import InjectionDetector
from llm_twin.serving.guardrails.links import drop_foreign_links, find_hosts
from llm_twin.serving.guardrails.memory import Shingles
from llm_twin.serving.guardrails.reader import load_reader
from llm_twin.serving.guardrails.verdicts import Found, Verdicts
from llm_twin.support import find_reported, recites, untell
from llm_twin.support.quotes import find_quotations

# A short list of what is never part of a fair question or of a published essay. A classifier from the hub can take
# its place (`guardrails.toxicity_model`); a list knows words, not meaning.
_TOXIC = re.compile(
    r"\b(?:kill yourself|kys|i(?:'ll| will| am going to) (?:kill|murder|rape|stab|shoot) (?:you|him|her|them)"
    r"|you (?:should|must|deserve to) (?:die|be (?:killed|shot|raped|hanged))|subhumans?|untermensch\w*|gas the \w+"
    r"|(?:stupid|filthy|worthless|disgusting|fucking) (?:bitch|whore|slut|cunt|retards?|faggots?|jews?|muslims?|immigrants?|women)"
    r"|go (?:hang|drown|shoot) yourself)\b",
    re.I,
)  # fmt: skip
_IS_A_PERSON = re.compile(
    r"\bI(?:'m| am) (?:really |truly |in fact )?(?:a (?:real )?(?:human|person)\b|not an? (?:ai|model|machine|language model))",
    re.I,
)  # fmt: skip
SUPPORTED_STRAY, ASKING_STRAY = 1 / 3, 5 / 3  # of the likeness to the question that an unsupported sentence must have
Bears = Callable[[Sequence[str]], Sequence[bool]]  # of each sentence whether it bears on the question


def find_abuse(text: str) -> float:
    """1 where the text holds a threat or abuse of the list, else 0."""
    return float(bool(_TOXIC.search(text)))


def texts_of(chunk: Chunk) -> list[str]:
    """What of a chunk comes into a prompt: its text, and its title."""
    return [chunk.text, chunk.title] if chunk.title else [chunk.text]


def blank(chunk: Chunk, found: Mapping[str, Found], bears: Bears | None) -> Chunk:
    """The chunk with spaces in place of its text's spans, of what is near them and does not bear on the question, and
    of quotations that reach into one; and without a title that has any."""
    text, title = chunk.text, "" if chunk.title and found[chunk.title].spans else chunk.title
    cut, near = list(found[text].spans), found[text].near
    if near and bears is not None:
        kept = bears([text[start:end] for start, end in near])
        cut += [span for span, keep in zip(near, kept, strict=True) if not keep]
    torn = [(a, b) for a, b in find_quotations(text) if any(a < end and start < b for start, end in cut)] if cut else []
    for start, end in [*cut, *torn]:
        text = text[:start] + re.sub(r"\S", " ", text[start:end]) + text[end:]
    return (
        chunk if (text, title) == (chunk.text, chunk.title) else chunk.model_copy(update={"text": text, "title": title})
    )


@dataclass(frozen=True)
class Verdict:
    """What a guard says of a question: the text to go on with, or why it is refused (`guard` names which)."""

    text: str
    refusal: str = ""
    guard: str = ""


@dataclass(frozen=True)
class Ground:
    """What an answer may rest on: the chunks with spaces in place of what they say of telling; and the words that they
    only report, which an answer may not say as its own."""

    stated: list[Chunk]
    reported: frozenset[str] = frozenset()


@dataclass
class Guards:
    """Guards by recipe. `toxic` and `injected` give a probability; `memory` holds the author's texts, once read."""

    recipe: GuardrailsRecipe = field(default_factory=GuardrailsRecipe)
    memory: Callable[[], Shingles | None] = lambda: None
    verdicts: Verdicts = field(default_factory=Verdicts)
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        recipe = self.recipe
        self.detector = InjectionDetector(load_reader() if recipe.injection or recipe.documents else None)
        self.toxic = load_classifier(recipe.toxicity_model) if recipe.toxicity_model else find_abuse
        self.injected = load_classifier(recipe.injection_model) if recipe.injection_model else lambda text: 0.0

    def check_input(self, question: str, author: str) -> Verdict:
        """Judge a question before anything is done with it; personal data in it is masked."""
        if len(question) > self.recipe.max_question_characters:
            limit = self.recipe.max_question_characters
            return Verdict(question, f"A question may have at most {limit:,} characters.", "length")
        if self.recipe.injection and (self.detector.judge(question).attack or self.injected(question) >= 0.5):
            return Verdict(
                question,
                f"I answer questions about what {author} has published. This reads like an attempt to give me other "
                "orders, and I do not follow those.",
                "injection",
            )
        if self.recipe.toxicity and self.toxic(question) >= 0.5:
            return Verdict(question, "I do not answer threats and abuse.", "toxicity")
        return Verdict(mask_pii(question).text if self.recipe.pii else question)

    def clean_chunks(self, chunks: Sequence[Chunk], bears: Bears | None = None) -> list[Chunk]:
        """The chunks with sentences that give orders to a model blanked out, so that every other span stays exact. Of
        the sentences around them only those stay that bear on the question, where `bears` can say so.

        What stands in a document is data: such a sentence reaches neither the prompt nor an extract, nor does such a
        title. Best first, as far as the time budget goes: what could not be judged by then is left out.
        """
        if not self.recipe.documents:
            return list(chunks)
        until = self.clock() + self.recipe.budget_seconds
        texts = list(dict.fromkeys(text for chunk in chunks for text in texts_of(chunk)))
        found = self.verdicts.judge(texts, self.detector, lambda: self.clock() <= until)
        return [blank(chunk, found, bears) for chunk in chunks if all(text in found for text in texts_of(chunk))]

    def find_ground(self, chunks: Sequence[Chunk], question: str, withheld: str = "") -> Ground:
        """What an answer may rest on, of cleaned chunks and of what was blanked of them (`withheld`)."""
        if not self.recipe.recited:
            return Ground(list(chunks))
        stated = [(chunk, untell(chunk.text)) for chunk in chunks]
        return Ground(
            [chunk if text == chunk.text else chunk.model_copy(update={"text": text}) for chunk, text in stated],
            find_reported([chunk.text for chunk in chunks], question, withheld),
        )

    def leave_out(self, sentence: AnswerSentence, ground: Ground, likeness: float) -> str:
        """Why a sentence of the model must not go out at all, or nothing. It may be `recited`: it says as its own a
        word that the passages only report. Or `stray`: neither do they support it nor is it like the
        question; or they do, and it is not at all like the question. An order hidden in a passage, if the model
        followed it, mostly ends as one or the other."""
        if recites(sentence.text, ground.reported):
            return "recited"
        asks = sentence.text.rstrip().endswith("?")  # which states nothing that could be supported
        stray = self.recipe.stray * (ASKING_STRAY if asks else SUPPORTED_STRAY if sentence.supported else 1)
        return "" if likeness >= stray else "stray"

    def check_output(self, sentence: AnswerSentence, chunks: Sequence[Chunk]) -> AnswerSentence:
        """A sentence of the model as it may go out: personal data and secrets that the sources do not have
        are masked; abuse, and the claim to be a person, count as unsupported; a long run of words that only the
        author's other texts have is withheld; and addresses of other places than the sources' are left out."""
        text = sentence.text
        if self.recipe.output:
            sources = "\n".join(chunk.text for chunk in chunks)
            memory = self.memory()
            copied = memory.count_copied(text, sources) if memory is not None else 0
            if copied > self.recipe.max_copied_words:
                return AnswerSentence(
                    text=f"[{copied} words withheld: copied from a text without a source here]", supported=False
                )
            for finding in reversed(find_pii(text)):
                if text[finding.start : finding.end] not in sources:
                    text = f"{text[: finding.start]}[{finding.kind}]{text[finding.end :]}"
            bad = bool(_IS_A_PERSON.search(text)) or (self.recipe.toxicity and self.toxic(text) >= 0.5)
            if bad:
                return AnswerSentence(text=text, supported=False)
        return self.check_links(sentence.model_copy(update={"text": text}), chunks)

    def check_links(self, sentence: AnswerSentence, chunks: Sequence[Chunk]) -> AnswerSentence:
        """The sentence without addresses of other places than those of the passages."""
        if not self.recipe.links:
            return sentence
        text = drop_foreign_links(sentence.text, find_hosts(chunk.url for chunk in chunks))
        return sentence if text == sentence.text else sentence.model_copy(update={"text": text})
