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
from llm_twin.evaluation.voice.features import Features, featurise
from llm_twin.evaluation.voice.prose import count_words, cut_pieces
from llm_twin.evaluation.voice.style import style_names

MIN_DOCUMENTS, MIN_WORDS, MIN_STUB_WORDS = 5, 3000, 50
FOLDS = 5
MODEL_CLASS = "the base model"
MIN_MODEL_PIECES = 5


@dataclass(frozen=True)
class VoiceScorer:
    """A frozen scorer. `words` is the exact length of the pieces that it was made for."""

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
        """V of each prompt's text, as the mean of its full pieces; prompts whose text is too short are left out."""
        means = {}
        for prompt, text in texts.items():
            pieces = cut_pieces(text.split("\n"), self.words)
            if pieces:
                means[prompt] = float(np.mean(self.score(pieces)))
        return means

    def explain(self, texts: Sequence[str], most: int = 12) -> list[tuple[str, float, float, float]]:
        """The style features that set these texts apart from the author's: name, effect on V, texts' and author's.

        Values are as in `style_vector`; a negative effect takes the texts away from the author.
        """
        styles = featurise(texts).styles
        apart = (self.classifier.standardise(styles).mean(axis=0)) - self.classifier.standardise(
            self.author_style[None, :]
        )[0]
        scale = 100 / (self.self_raw - self.other_raw) / 4
        effects = apart * self.classifier.style_weights * scale
        order = np.argsort(-np.abs(effects))[:most]
        values = styles.mean(axis=0)
        return [(style_names()[i], float(effects[i]), float(values[i]), float(self.author_style[i])) for i in order]

    def self_interval(self) -> Interval:
        """The author's own held-out documents, which are 100 by definition: how wide is their mean's interval?"""
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
    full = {name: paragraphs for name, paragraphs in documents.items() if count_words(paragraphs) >= MIN_STUB_WORDS}
    total = sum(count_words(paragraphs) for paragraphs in full.values())
    pieces = {name: cut_pieces(paragraphs, words) for name, paragraphs in sorted(full.items())}
    pieces = {name: cut for name, cut in pieces.items() if cut}
    if len(pieces) < MIN_DOCUMENTS or total < MIN_WORDS:
        raise InputError(
            f"the voice cannot be measured: {len(pieces)} documents of {words} words or more of prose, {total:,} "
            f"words in all ({len(documents) - len(pieces)} too short)",
            f"{MIN_DOCUMENTS} such documents and {MIN_WORDS:,} words would do",
        )
    names = list(pieces)
    author = featurise([piece for name in names for piece in pieces[name]])
    belongs = np.array([number for number, name in enumerate(names) for _ in pieces[name]])
    others = dict(background.groups)
    model_pieces = [piece for text in model_texts for piece in cut_pieces(text.split("\n"), words)]
    model_class = len(model_pieces) >= MIN_MODEL_PIECES
    if model_class:
        others[MODEL_CLASS] = featurise(model_pieces)
    held_out = _cross_fit(author, belongs, others, seed)
    left_out = _leave_groups_out(author, others, seed)
    self_means = [float(held_out[belongs == number].mean()) for number in range(len(names))]
    self_raw = math.fsum(self_means) / len(self_means)
    other_raw = math.fsum(left_out.values()) / len(left_out)
    scale = 100 / (self_raw - other_raw)
    return VoiceScorer(
        classifier=fit_classifier(author, others, seed),
        words=words,
        self_raw=self_raw,
        other_raw=other_raw,
        self_documents={n: scale * (m - other_raw) for n, m in zip(names, self_means, strict=True)},
        others={name: scale * (raw - other_raw) for name, raw in left_out.items()},
        documents=len(names),
        stubs=len(documents) - len(pieces),
        model_class=model_class,
        author_style=author.styles.mean(axis=0),
    )


def _cross_fit(author: Features, belongs: np.ndarray, others: Mapping[str, Features], seed: int) -> np.ndarray:
    """Raw scores of the author's pieces, each from a classifier that saw nothing of its document."""
    sizes = np.bincount(belongs)
    folds = np.zeros(len(sizes), dtype=int)
    filled = np.zeros(min(FOLDS, len(sizes)))
    for document in np.argsort(-sizes, kind="stable"):
        folds[document] = int(np.argmin(filled))
        filled[folds[document]] += sizes[document]
    raw = np.zeros(len(author))
    for fold in range(len(filled)):
        held = folds[belongs] == fold
        classifier = fit_classifier(author.take(np.flatnonzero(~held)), others, seed)
        raw[held] = classifier.raw(author.take(np.flatnonzero(held)))
    return raw


def _leave_groups_out(author: Features, others: Mapping[str, Features], seed: int) -> dict[str, float]:
    """Mean raw score of each other author, from a classifier that never saw that author. The model is no author."""
    writers = [name for name in others if name != MODEL_CLASS]
    found = {}
    for name in writers:
        rest = {other: pieces for other, pieces in others.items() if other != name}
        if not rest:  # a single other author: by halves
            found[name] = _halves(author, others[name], seed)
            continue
        found[name] = float(fit_classifier(author, rest, seed).raw(others[name]).mean())
    return found


def _halves(author: Features, other: Features, seed: int) -> float:
    even, odd = other.take(np.arange(0, len(other), 2)), other.take(np.arange(1, len(other), 2))
    first = fit_classifier(author, {"other": even}, seed).raw(odd)
    second = fit_classifier(author, {"other": odd}, seed).raw(even)
    return float(np.concatenate([first, second]).mean())
