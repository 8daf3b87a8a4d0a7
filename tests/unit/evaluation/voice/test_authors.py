"""The joint verdict on real authors, where LLM_TWIN_TEST_DATA holds a folder `authors`."""

import os
import random
from pathlib import Path

import pytest

from benchmarks.voice import keep_enough, read_authors
from llm_twin.evaluation.voice.background import make_background
from llm_twin.evaluation.voice.guards import fit_guards
from llm_twin.evaluation.voice.prose import cut_pieces
from llm_twin.evaluation.voice.scorer import fit_voice
from llm_twin.evaluation.voice.verdict import judge_voice

WORDS = 100
pytestmark = pytest.mark.deep


@pytest.fixture(scope="module")
def authors():
    folder = os.environ.get("LLM_TWIN_TEST_DATA")
    if not folder or not (Path(folder) / "authors").is_dir():
        pytest.skip("LLM_TWIN_TEST_DATA holds no folder `authors`")
    return {name: texts[:40] for name, texts in keep_enough(read_authors(Path(folder) / "authors")).items()}


def stitch(texts, order, words, choice):
    follows, starts = {}, []
    for text in texts:
        tokens = text.split()
        starts.append(tuple(tokens[:order]))
        for n in range(len(tokens) - order):
            follows.setdefault(tuple(tokens[n : n + order]), []).append(tokens[n + order])
    out = list(choice.choice(starts))
    while len(out) < words:
        after = follows.get(tuple(out[-order:]))
        out += [choice.choice(after)] if after else choice.choice(starts)
    return " ".join(out[:words])


def test_only_honest_text_of_the_author_passes(authors):
    names = sorted(authors)
    for author in names:
        outsider = next(name for name in names if name != author)
        documents = {f"{n}": text for n, text in enumerate(authors[author])}
        training = {key: text for key, text in documents.items() if int(key) % 4}
        unseen = [p for key, text in documents.items() if not int(key) % 4 for p in cut_pieces(text, WORDS)][:60]
        rest = {name: authors[name] for name in names if name not in (author, outsider)}
        scorer = fit_voice(training, make_background(rest, WORDS))
        guards = fit_guards(training, WORDS)
        choice = random.Random(1)
        flat = ["\n".join(text) for text in training.values()]
        other = [p for text in authors[outsider] for p in cut_pieces(text, WORDS)][:60]
        sets = {
            "unseen": unseen,
            "outsider": other,
            "copied": [p for text in training.values() for p in cut_pieces(text, WORDS)][:60],
            "shuffled": [" ".join(choice.sample(text.split(), WORDS)) for text in unseen],
            **{f"stitched {n}": [stitch(flat, n, WORDS, choice) for _ in range(60)] for n in (1, 2, 3)},
        }
        base = {f"p{n}": text for n, text in enumerate(other)}
        for name, texts in sets.items():
            verdict = judge_voice({f"p{n}": text for n, text in enumerate(texts)}, scorer, guards, base)
            assert verdict.passes is (name == "unseen"), (author, name, verdict.score, verdict.reasons)
