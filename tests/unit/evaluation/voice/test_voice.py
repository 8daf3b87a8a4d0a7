"""The voice score on text that is always there: the documentation of two installed packages as two authors."""

import random
import re

import numpy as np
import pytest

from benchmarks.voice_gate import change_words, follow, shuffle, stitch
from llm_twin.errors import InputError
from llm_twin.evaluation.voice.background import Background, load_shipped_background
from llm_twin.evaluation.voice.guards import fit_guards
from llm_twin.evaluation.voice.prose import cut_pieces, extract_prose
from llm_twin.evaluation.voice.scorer import fit_voice
from llm_twin.evaluation.voice.style import style_names
from llm_twin.evaluation.voice.verdict import judge_voice
from llm_twin.evaluation.voice.words import FUNCTION_WORDS
from llm_twin.training.corpus import read_corpus

WORDS = 50


def read_documents(package, count=14):
    passages = [p for passage in read_corpus([package], 9000).passages for p in extract_prose(passage.text)]
    size = len(passages) // count
    return {f"{package}{n}": passages[n * size : (n + 1) * size] for n in range(count)}


def on_the_topic(texts, author, common):
    """The same sentences about the author's subject: each rare word is one of the author's, its capital kept."""
    words = iter([w for text in author.values() for w in re.findall(r"[a-z]{5,}", " ".join(text)) if w not in common])
    swapped = []
    for text in texts:
        swapped.append(re.sub(r"[^\W\d_]+(?:'[^\W\d_]+)*", lambda m: swap(m.group(), words, common), text))
    return swapped


def swap(word, words, common):
    if word.lower() in common or (len(word) > 1 and word.isupper()):
        return word
    other = next(words)
    return other.capitalize() if word[0].isupper() else other


@pytest.fixture(scope="module")
def author():
    return read_documents("setuptools")


def few_others():
    """Eight groups of the shipped background, for time."""
    return Background(WORDS, dict(list(load_shipped_background(WORDS).groups.items())[:8]))


@pytest.fixture(scope="module")
def fitted(author):
    training = dict(list(author.items())[:10])
    return fit_voice(training, few_others()), fit_guards(training, WORDS), training


@pytest.fixture(scope="module")
def unseen(author):
    pieces = [piece for text in list(author.values())[10:] for piece in cut_pieces(text, WORDS)]
    return {f"p{n}": piece for n, piece in enumerate(pieces[:30])}


def test_the_scale_is_that_of_the_definition(fitted):
    scorer = fitted[0]
    assert np.mean(list(scorer.self_documents.values())) == pytest.approx(100)
    assert np.mean(list(scorer.others.values())) == pytest.approx(0)
    assert scorer.documents == 10 and not scorer.model_class


def test_the_authors_unseen_text_scores_far_above_anothers(fitted, unseen):
    scorer = fitted[0]
    own = scorer.score(list(unseen.values()))
    other = scorer.score([p for text in read_documents("flask", 5).values() for p in cut_pieces(text, WORDS)])
    assert own.mean() - other.mean() > 25
    assert (own[:, None] > other[None, :]).mean() > 0.7  # fifty words, and packages share their manner


def test_texts_that_fool_the_score_do_not_pass_the_verdict(fitted, unseen):
    scorer, guards, training = fitted
    choice = random.Random(1)
    whole = ["\n".join(text) for text in training.values()]
    learnt = [piece for text in training.values() for piece in cut_pieces(text, WORDS)][:30]
    chains = {order: follow(whole, order) for order in (1, 2, 3)}
    fakes = {
        "copied": learnt,
        "copied with changes": [change_words(text, learnt, choice) for text in learnt],
        "shuffled": [shuffle(text, choice) for text in unseen.values()],
        **{f"Markov {order}": [stitch(chain, WORDS, choice) for _ in range(30)] for order, chain in chains.items()},
    }
    honest = judge_voice(unseen, scorer, guards)
    assert honest.passes, honest.reasons
    for name, texts in fakes.items():
        assert all(len(text.split()) == WORDS for text in texts)
        verdict = judge_voice({f"p{n}": text for n, text in enumerate(texts)}, scorer, guards)
        assert not verdict.passes, name
        assert any("guard" in reason for reason in verdict.reasons), name


def test_anothers_text_about_the_authors_subject_scores_as_low_as_about_its_own(author, fitted, unseen):
    scorer, guards, _ = fitted
    others = [piece for text in read_documents("flask", 5).values() for piece in cut_pieces(text, WORDS)][:60]
    swapped = on_the_topic(others, author, set(FUNCTION_WORDS))
    assert sum(first != second for first, second in zip(others, swapped, strict=True)) == len(others)
    own, other, same_topic = (scorer.score(texts).mean() for texts in (list(unseen.values()), others, swapped))
    assert same_topic < 25 and own - same_topic > 25 and abs(same_topic - other) < 20
    texts, base = ({f"p{n}": text for n, text in enumerate(given)} for given in (swapped, others))
    assert not judge_voice(texts, scorer, guards, base).passes


@pytest.mark.deep
def test_the_base_models_own_texts_join_the_background(author, fitted):
    generic = ["It is important to note that there are many ways to do this. In conclusion, it depends. " * 6] * 8
    with_model = fit_voice(fitted[2], load_shipped_background(WORDS), generic)
    assert with_model.model_class
    assert with_model.score(cut_pieces([generic[0]], WORDS)).mean() < 20


@pytest.mark.deep
def test_the_same_twice_to_the_last_digit(fitted, unseen):
    scorer, _, training = fitted
    again = fit_voice(training, few_others())
    assert (again.score(list(unseen.values())) == scorer.score(list(unseen.values()))).all()


def test_too_little_to_say_anything_is_said_with_what_would_be_enough(author):
    few = dict(list(author.items())[:3])
    with pytest.raises(InputError, match="3 documents .* would do") as caught:
        fit_voice(few | {"stub": ["Too short."]}, load_shipped_background(WORDS))
    assert "1 documents are too short" in str(caught.value)


def test_the_features_that_drive_it_are_named_with_both_sides_values(fitted, unseen):
    without = [text.replace(",", "") for text in unseen.values()]
    drivers = fitted[0].explain(without, most=10_000)
    named = {name: (theirs, ours) for name, _, theirs, ours in drivers}
    assert len(named) == len(drivers) == len(style_names())
    assert named["mark ,"][0] == 0 < named["mark ,"][1]
    effects = [abs(effect) for _, effect, _, _ in drivers]
    assert effects == sorted(effects, reverse=True) and effects[0] > 0


def test_a_single_text_or_none_is_not_a_measurement(fitted):
    verdict = judge_voice({"a": "far too short"}, fitted[0], fitted[1])
    assert verdict.score is None and verdict.too_short == 1 and "too few texts" in verdict.reasons[0]
