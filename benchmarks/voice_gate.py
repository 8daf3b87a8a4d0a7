"""What fools a stylometric score must not pass the gate: copies, Markov text, shuffled words, another on the topic."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.voice import MIN_BACKGROUND, auc, read_all
from llm_twin.errors import InputError
from llm_twin.evaluation.voice.background import Background, load_shipped_background, make_background
from llm_twin.evaluation.voice.guards import Guards, fit_guards
from llm_twin.evaluation.voice.prose import cut_pieces
from llm_twin.evaluation.voice.scorer import VoiceScorer, fit_voice
from llm_twin.evaluation.voice.verdict import Voice, judge_voice

DESCRIPTION = "the joint gate: do copied, stitched and shuffled texts pass, does another author on the same topic?"
MARKOV_ORDERS = (1, 2, 3)
UNSEEN_SHARE = 4  # each fourth document is held out
MAX_DOCUMENTS = 60  # of an author, for time
MAX_ENCODED = 120  # pieces of an author that stand for its topics


@dataclass(frozen=True)
class Bench:
    """One author with a frozen scorer: what was learnt from, what was not, and who stands in for the base model."""

    author: str
    outsider: str  # on the author's topic, in no background
    stand_in: str  # whose texts are the base model's, in no background
    words: int
    training: dict[str, Sequence[str]]
    unseen: dict[str, Sequence[str]]
    scorer: VoiceScorer
    guards: Guards
    base: list[str]
    on_topic: list[str]
    nearness: tuple[float, float]  # cosine to the author's nearest piece: of the author's unseen text, of `on_topic`


@dataclass
class Findings:
    """What passed, over all authors."""

    fakes: int = 0
    passed: list[str] = field(default_factory=list)
    honest: dict[str, Voice] = field(default_factory=dict)
    topic_voice: dict[str, float] = field(default_factory=dict)
    topic_auc: dict[str, float] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command-line options."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="as for the benchmark `voice`")
    parser.add_argument("--words", type=int, default=100, help="length of the texts")
    parser.add_argument("--texts", type=int, default=60, help="texts of a set")
    parser.add_argument("--draws", type=int, default=2, help="sets of each kind for each author")
    parser.add_argument("--seed", type=int, default=20)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Each author in turn. Prints a table."""
    begun = time.monotonic()
    authors = read_all(args.data)
    topics = encode_topics(authors, args.words, args.seed)
    found = Findings()
    print(f"{'author':<18}{'unseen':>8}{'passes':>8}{'fakes passed':>14}   on the author's topic: who, V, AUC, cosines")
    for author in authors:
        bench = make_bench(author, authors, topics, args.words, args.texts, args.seed)
        before = len(found.passed)
        try_author(bench, found, args.texts, args.draws, args.seed)
        honest = found.honest[author]
        mean = f"{honest.score.mean:.0f}" if honest.score else "-"
        print(f"{author[:17]:<18}{mean:>8}{'yes' if honest.passes else 'no':>8}{len(found.passed) - before:>14}   "
              f"{bench.outsider}, {found.topic_voice[author]:.0f}, {found.topic_auc[author]:.3f}, "
              f"{bench.nearness[0]:.2f} {bench.nearness[1]:.2f}"
              + "".join(f"; {reason}" for reason in honest.reasons), flush=True)  # fmt: skip
    for name in found.passed:
        print(f"passed: {name}")
    return {
        "fakes": found.fakes,
        "fakes_passed": len(found.passed),
        "honest_passed": sum(voice.passes for voice in found.honest.values()),
        "authors": len(found.honest),
        "topic_voice_mean": round(float(np.mean(list(found.topic_voice.values()))), 1),
        "topic_voice_max": round(max(found.topic_voice.values()), 1),
        "topic_auc_mean": round(float(np.mean(list(found.topic_auc.values()))), 3),
        "topic_auc_min": round(min(found.topic_auc.values()), 3),
        "seconds": round(time.monotonic() - begun, 1),
    }


def encode_topics(
    authors: Mapping[str, list[list[str]]], words: int, seed: int
) -> dict[str, tuple[list[str], np.ndarray]]:
    """Author → pieces drawn from all documents, and their unit vectors (n × 384): what they write about."""
    from llm_twin.embedding import load_encoder

    encoder = load_encoder("all-MiniLM-L6-v2")
    found = {}
    for name, documents in authors.items():
        pieces = [piece for text in documents for piece in cut_pieces(text, words)]
        pieces = draw_some(pieces, MAX_ENCODED, random.Random(seed))
        found[name] = (pieces, np.asarray(encoder.encode(pieces)))
    return found


def make_bench(
    author: str,
    authors: Mapping[str, list[list[str]]],
    topics: Mapping[str, tuple[list[str], np.ndarray]],
    words: int,
    texts: int,
    seed: int,
) -> Bench:
    """The outsider is who comes nearest to the author's topics. Raises InputError for fewer than three authors."""
    if len(authors) < 3:
        raise InputError(f"{len(authors)} authors", "give three or more: one to score, two to stand against")
    documents = {str(number): text for number, text in enumerate(authors[author][:MAX_DOCUMENTS])}
    unseen = {name: text for name, text in documents.items() if int(name) % UNSEEN_SHARE == 0}
    training = {name: text for name, text in documents.items() if name not in unseen}
    nearest = {name: (topics[name][1] @ topics[author][1].T).max(axis=1) for name in authors if name != author}
    own = topics[author][1] @ topics[author][1].T
    np.fill_diagonal(own, -1)
    most = {
        name: np.argsort(-near, kind="stable")[: min(texts, max(len(near) // 2, 1))] for name, near in nearest.items()
    }
    by_nearness = sorted(nearest, key=lambda name: -float(nearest[name][most[name]].mean()))
    outsider, stand_in = by_nearness[0], by_nearness[-1]
    rest = {
        name: texts_[:MAX_DOCUMENTS] for name, texts_ in authors.items() if name not in (author, outsider, stand_in)
    }
    background = make_background(rest, words)
    if len(background.groups) < MIN_BACKGROUND:
        background = background.joined(shipped_background(words))
    return Bench(
        author=author,
        outsider=outsider,
        stand_in=stand_in,
        words=words,
        training=training,
        unseen=unseen,
        scorer=fit_voice(training, background, seed=seed),
        guards=fit_guards(training, words),
        base=draw_some(topics[stand_in][0], texts, random.Random(seed)),
        on_topic=[topics[outsider][0][row] for row in most[outsider]],
        nearness=(float(own.max(axis=1).mean()), float(nearest[outsider][most[outsider]].mean())),
    )


def shipped_background(words: int) -> Background:
    """The shipped one, under names that no author has."""
    shipped = load_shipped_background(words)
    return Background(words, {f"shipped {name}": pieces for name, pieces in shipped.groups.items()})


def try_author(bench: Bench, found: Findings, texts: int, draws: int, seed: int) -> None:
    """Unseen text, text of the outsider, and every kind of fake before the joint verdict."""
    base = {f"p{number}": text for number, text in enumerate(bench.base)}
    unseen = {name: "\n".join(text) for name, text in bench.unseen.items()}
    found.honest[bench.author] = judge_voice(unseen, bench.scorer, bench.guards)
    on_topic = bench.scorer.score(bench.on_topic)
    own = bench.scorer.score([piece for text in bench.unseen.values() for piece in cut_pieces(text, bench.words)])
    found.topic_voice[bench.author] = float(on_topic.mean())
    found.topic_auc[bench.author] = auc(own, on_topic)
    for draw in range(draws):
        for kind, fakes in make_fakes(bench, texts, random.Random(f"{seed} {draw} {bench.author}")).items():
            asked = {f"p{number}": text for number, text in enumerate(fakes)}
            found.fakes += 1
            for against, compared in (("base", base), ("nothing", None)):
                verdict = judge_voice(asked, bench.scorer, bench.guards, compared)
                if verdict.passes:
                    found.passed.append(f"{bench.author}: {kind}, draw {draw}, against {against}")


def make_fakes(bench: Bench, texts: int, choice: random.Random) -> dict[str, list[str]]:
    """Kind → texts of exactly the bench's length that are the author's words and not the author's writing."""
    learnt = [piece for text in bench.training.values() for piece in cut_pieces(text, bench.words)]
    unseen = [piece for text in bench.unseen.values() for piece in cut_pieces(text, bench.words)]
    whole = ["\n".join(text) for text in bench.training.values()]
    chains = {order: follow(whole, order) for order in MARKOV_ORDERS}
    return {
        "copied": draw_some(learnt, texts, choice),
        "copied, each twelfth word another": [
            change_words(piece, learnt, choice) for piece in draw_some(learnt, texts, choice)
        ],
        "shuffled unseen text": [shuffle(piece, choice) for piece in draw_some(unseen, texts, choice)],
        "shuffled copies": [shuffle(piece, choice) for piece in draw_some(learnt, texts, choice)],
        **{
            f"Markov text of order {order}": [stitch(chain, bench.words, choice) for _ in range(texts)]
            for order, chain in chains.items()
        },
    }


def draw_some(pieces: Sequence[str], most: int, choice: random.Random) -> list[str]:
    """At most so many, in their order."""
    rows = sorted(choice.sample(range(len(pieces)), min(most, len(pieces))))
    return [pieces[row] for row in rows]


def shuffle(text: str, choice: random.Random) -> str:
    """The same words in any order."""
    words = text.split()
    choice.shuffle(words)
    return " ".join(words)


def change_words(text: str, others: Sequence[str], choice: random.Random) -> str:
    """Each twelfth word replaced by one of the author's."""
    words = text.split()
    for place in range(choice.randrange(12), len(words), 12):
        words[place] = choice.choice(choice.choice(others).split())
    return " ".join(words)


def follow(texts: Sequence[str], order: int) -> dict[tuple[str, ...], list[str]]:
    """Which words stand after each run of `order` words."""
    follows: dict[tuple[str, ...], list[str]] = {}
    for text in texts:
        tokens = text.split()
        for place in range(len(tokens) - order):
            follows.setdefault(tuple(tokens[place : place + order]), []).append(tokens[place + order])
    return follows


def stitch(follows: Mapping[tuple[str, ...], Sequence[str]], words: int, choice: random.Random) -> str:
    """Markov text: each word stands somewhere in the author's texts after the words before it."""
    starts = list(follows)
    out = list(choice.choice(starts))
    order = len(out)
    while len(out) < words:
        after = follows.get(tuple(out[-order:]))
        out += [choice.choice(after)] if after else choice.choice(starts)
    return " ".join(out[:words])
