"""The calibrated score: fitted once for an author, then frozen for everything that is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llm_twin.errors import InputError
from llm_twin.evaluation.statistics import Interval, mean_interval
from llm_twin.evaluation.voice.background import Background
from llm_twin.evaluation.voice.classifier import Classifier, fit_classifier
from llm_twin.evaluation.voice.features import Features, Pieces, featurise, featurise_documents
from llm_twin.evaluation.voice.prose import count_words, cut_pieces
from llm_twin.evaluation.voice.style import style_names

MIN_DOCUMENTS, MIN_WORDS = 5, 2000
FOLDS = 20  # with 5, unseen text averaged 112 on six authors, with 10 103, with 20 101 (ADR 0062)
MAX_LEFT_OUT = 5
MODEL_CLASS = "the base model"
MIN_MODEL_PIECES = 5


@dataclass(frozen=True)
class VoiceScorer:
    """A frozen scorer. `words` is the exact length of the pieces that it was calibrated for."""

    classifier: Classifier
    words: int
    self_raw: float  # mean over documents of the author's held-out raw score
    other_raw: float  # mean over other authors, each left out of its own background
    self_documents: dict[str, float]  # document → V, held out
    others: dict[str, float]  # group → V, left out
    documents: int
    stubs: int  # documents left out as too short
    model_class: bool  # whether the base model's own outputs are in the background
    author_style: np.ndarray  # mean style vector of the author's pieces

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """V of each text, which must have `words` words: 0 another author, 100 the author; not clipped."""
        return self.calibrate(self.classifier.raw(featurise(texts)))

    def calibrate(self, raw: np.ndarray) -> np.ndarray:
        """Raw scores on V's scale."""
        return np.asarray(100 * (raw - self.other_raw) / (self.self_raw - self.other_raw))

    def score_prompts(self, texts: Mapping[str, str]) -> dict[str, float]:
        """V of each prompt's text, as the mean of its full pieces; prompts with no full piece are left out."""
        cut = {prompt: cut_pieces(text.split("\n"), self.words) for prompt, text in texts.items()}
        cut = {prompt: pieces for prompt, pieces in cut.items() if pieces}
        scores = self.score([piece for pieces in cut.values() for piece in pieces])
        ends = np.cumsum([len(pieces) for pieces in cut.values()])
        return {
            prompt: float(scores[end - len(pieces) : end].mean())
            for (prompt, pieces), end in zip(cut.items(), ends, strict=True)
        }

    def explain(self, texts: Sequence[str], most: int = 12) -> list[tuple[str, float, float, float]]:
        """The style features that set these texts apart from the author's: name, effect on V, texts', author's.

        Values are as in `style_vector`; a negative effect takes the texts away from the author.
        """
        styles = featurise(texts).styles
        ours = self.classifier.standardise(self.author_style[None, :])[0]
        apart = self.classifier.standardise(styles).mean(axis=0) - ours
        scale = 100 / (self.self_raw - self.other_raw) * self.classifier.style_share
        effects = apart * self.classifier.style_weights * scale
        values = styles.mean(axis=0)
        order = np.argsort(-np.abs(effects), kind="stable")[:most]
        names = style_names()
        return [(names[i], float(effects[i]), float(values[i]), float(self.author_style[i])) for i in order]

    def self_interval(self) -> Interval:
        """The author's own held-out documents: 100 by definition, and how far one document is from it."""
        return mean_interval(list(self.self_documents.values()))


def fit_voice(
    documents: Mapping[str, Sequence[str]],
    background: Background,
    model_texts: Sequence[str] = (),
    seed: int = 0,
) -> VoiceScorer:
    """Fit a scorer from the author's documents (id → prose paragraphs), a background, and the base model's texts.

    `model_texts` must answer other prompts than those that will be scored. Raises InputError, saying what would be
    enough, when there is too little to say anything.
    """
    words = background.words
    full = {name: list(text) for name, text in sorted(documents.items()) if count_words(text) >= words}
    total = sum(count_words(text) for text in full.values())
    if len(full) < MIN_DOCUMENTS or total < MIN_WORDS:
        raise InputError(
            f"the voice cannot be measured: {len(full)} documents with {words} words of prose or more, {total:,} "
            f"words in all ({len(documents) - len(full)} documents are too short)",
            f"{MIN_DOCUMENTS} such documents and {MIN_WORDS:,} words would do",
        )
    if not background.groups:
        raise InputError("the voice cannot be measured: no background", "give other authors, or the shipped one")
    author = featurise_documents(list(full.values()), [words])
    model = featurise_documents([text.split("\n") for text in model_texts], [words]).training()
    model_class = len(model) >= MIN_MODEL_PIECES
    others = {name: pieces.training() for name, pieces in background.groups.items()}
    extra = {MODEL_CLASS: model} if model_class else {}
    held_out, belongs = cross_fit(author, words, others | extra, seed)
    self_means = [float(held_out[belongs == number].mean()) for number in range(len(full))]
    left_out = _leave_groups_out(author.training(), background, extra, seed)
    self_raw = math.fsum(self_means) / len(self_means)
    other_raw = math.fsum(left_out.values()) / len(left_out)
    scale = 100 / (self_raw - other_raw)
    return VoiceScorer(
        classifier=fit_classifier(author.training(), others | extra, seed),
        words=words,
        self_raw=self_raw,
        other_raw=other_raw,
        self_documents={n: scale * (m - other_raw) for n, m in zip(full, self_means, strict=True)},
        others={name: scale * (raw - other_raw) for name, raw in left_out.items()},
        documents=len(full),
        stubs=len(documents) - len(full),
        model_class=model_class,
        author_style=author.of_length(words)[0].styles.mean(axis=0),
    )


def cross_fit(author: Pieces, words: int, others: Mapping[str, Features], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores of the author's pieces of `words` words, each from a classifier that saw nothing of its document.

    Returns scores and the pieces' documents.
    """
    scored, belongs = author.of_length(words)
    sizes = np.bincount(author.documents)
    folds = np.zeros(len(sizes), dtype=int)
    filled = np.zeros(min(FOLDS, len(sizes)))
    for document in np.argsort(-sizes, kind="stable"):
        folds[document] = int(np.argmin(filled))
        filled[folds[document]] += sizes[document]
    raw = np.zeros(len(scored))
    for fold in range(len(filled)):
        held = folds[belongs] == fold
        classifier = fit_classifier(author.training(np.flatnonzero(folds != fold)), others, seed)
        raw[held] = classifier.raw(scored.take(np.flatnonzero(held)))
    return raw, belongs


def _leave_groups_out(
    author: Features, background: Background, extra: Mapping[str, Features], seed: int
) -> dict[str, float]:
    """Mean raw score of each other author, from a classifier that never saw that author.

    Of more than MAX_LEFT_OUT authors, several are left out at once: the background shrinks, the time does not grow.
    """
    names = sorted(background.groups)
    if len(names) == 1:
        scored = background.groups[names[0]].of_length(background.words)[0]
        return {names[0]: _score_by_halves(author, scored, extra, seed)}
    found = {}
    for start in range(min(MAX_LEFT_OUT, len(names))):
        left_out = names[start::MAX_LEFT_OUT]
        rest = {name: background.groups[name].training() for name in names if name not in left_out}
        classifier = fit_classifier(author, rest | dict(extra), seed)
        for name in left_out:
            found[name] = float(classifier.raw(background.groups[name].of_length(background.words)[0]).mean())
    return {name: found[name] for name in names}


def _score_by_halves(author: Features, other: Features, extra: Mapping[str, Features], seed: int) -> float:
    """A single other author: each half from a classifier that saw the other half."""
    halves = [other.take(np.arange(start, len(other), 2)) for start in (0, 1)]
    raw = [fit_classifier(author, {"other": halves[1 - n], **extra}, seed).raw(halves[n]) for n in range(len(halves))]
    return float(np.concatenate(raw).mean())
