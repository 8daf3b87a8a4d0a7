"""The voice score on authors it has never seen: is an author's own held-out text told from another author's?"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from llm_twin.errors import InputError
from llm_twin.evaluation.voice.background import load_shipped_background
from llm_twin.evaluation.voice.classifier import fit_classifier
from llm_twin.evaluation.voice.features import Features, Pieces, featurise_documents
from llm_twin.evaluation.voice.files import read_text
from llm_twin.evaluation.voice.prose import count_words, extract_prose

DESCRIPTION = "stylometric voice score: same-author against other-author AUC at 100, 250 and 500 words"
LENGTHS = (100, 250, 500)
FOLDS = 3
MAX_LEFT_OUT = 6  # groups of other authors that are left out in turn; each author is in one
MAX_DOCUMENTS = 150  # of an author, for time
MIN_DOCUMENTS, MIN_WORDS = 4, 3000
MIN_BACKGROUND = 3  # other authors; with fewer, the shipped background joins them
PARTS, MIN_PART_WORDS = 12, 500  # of an author who gave few documents
READ = frozenset({".md", ".markdown", ".txt", ".text", ".mdx", ".adoc", ".rst"})
REPEATED = 3  # a paragraph that stands in so many documents is no prose of them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Command-line options."""
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="folders with a folder of Markdown or text files for each author, or a data-warehouse export",
    )
    parser.add_argument("--seed", type=int, default=20)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Each author against each other one left out of the background. Prints a table."""
    begun = time.monotonic()
    authors = read_all(args.data)
    pieces = {name: featurise_documents(texts, LENGTHS) for name, texts in authors.items()}
    print(f"{len(authors)} authors, {sum(map(len, authors.values()))} documents, features in "
          f"{time.monotonic() - begun:.0f} s", flush=True)  # fmt: skip
    apart = separate(pieces, args.seed)
    alone = separate_alone(pieces, args.seed)
    figures: dict[str, float | int | str] = {}
    for words in LENGTHS:
        figures[f"auc_{words}"] = _mean(apart, words)
    for words in LENGTHS:
        figures[f"auc_{words}_shipped_background"] = _mean(alone, words)
    print(f"{'author':<24}" + "".join(f"{words:>8}" for words in LENGTHS) + "   with the shipped background only")
    for name in pieces:
        row = [_mean(apart, words, name) for words in LENGTHS] + [_mean(alone, words, name) for words in LENGTHS]
        print(f"{name[:23]:<24}" + "".join(f"{value:>8.3f}" for value in row[:3])
              + "   " + "".join(f"{value:>8.3f}" for value in row[3:]))  # fmt: skip
    for words in LENGTHS:
        worst = min((value, pair) for (length, *pair), value in apart.items() if length == words)
        print(f"hardest pair at {words} words: {worst[1][0]} against {worst[1][1]}, AUC {worst[0]:.3f}")
    return figures | {"authors": len(pieces), "seconds": round(time.monotonic() - begun, 1)}


def read_authors(folder: Path) -> dict[str, list[list[str]]]:
    """Author → documents → prose paragraphs, from a folder for each author or from an export's articles.

    Raises InputError where there is neither, or the export is none.
    """
    export = folder / "ArticleDocument.json"
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}", "give a folder with a folder of Markdown files for each author")
    texts = _read_export(export) if export.is_file() else _read_folders(folder)
    if not texts:
        raise InputError(
            f"{folder} holds no folders", "give a folder with a folder of Markdown or text files for each author"
        )
    return {name: [extract_prose(text) for text in documents] for name, documents in texts.items()}


def _read_export(export: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    try:
        for article in json.loads(export.read_text(encoding="utf-8")):
            content = " \n\n".join(part for part in article["content"].values() if part)
            texts.setdefault(article["author_full_name"], []).append(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{export} is no data-warehouse export: {error!r}", "give the export as it was made"
        ) from error
    return texts


def _read_folders(folder: Path) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for author in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(file for file in author.rglob("*") if file.suffix.lower() in READ and file.is_file())
        texts[author.name] = [read_text(file) for file in files]
        if not files:
            print(f"{author.name}: no {', '.join(sorted(READ))} files")
    return texts


def read_all(folders: Sequence[Path]) -> dict[str, list[list[str]]]:
    """The authors of several folders that have enough to say, ready to be told apart; one named in two is one."""
    authors: dict[str, list[list[str]]] = {}
    for folder in folders:
        for name, documents in read_authors(folder).items():
            authors.setdefault(name, []).extend(documents)
    return keep_enough(authors)


def keep_enough(authors: Mapping[str, list[list[str]]]) -> dict[str, list[list[str]]]:
    """Without boilerplate paragraphs and stubs; authors with too little left are named and left out.

    An author of few long documents is cut into parts, because held-out documents are needed.
    """
    kept = {}
    for name, documents in sorted(authors.items()):
        seen = Counter(paragraph for document in documents for paragraph in set(document))
        texts = [[p for p in document if seen[p] < REPEATED] for document in documents]
        texts = [text for text in texts if count_words(text) >= LENGTHS[0]][:MAX_DOCUMENTS]
        words = sum(count_words(text) for text in texts)
        print(f"{name}: {len(texts)} of {len(documents)} documents hold {LENGTHS[0]} words of prose, {words:,} words")
        if len(texts) < MIN_DOCUMENTS and words >= PARTS * MIN_PART_WORDS:
            texts = cut_parts(texts, words // PARTS)
            print(f"{name}: too few documents to hold any out, so they are cut into {len(texts)} parts")
        if len(texts) < MIN_DOCUMENTS or words < MIN_WORDS:
            print(f"{name}: left out; {MIN_DOCUMENTS} documents and {MIN_WORDS:,} words would do, or one document of "
                  f"{PARTS * MIN_PART_WORDS:,} words")  # fmt: skip
            continue
        kept[name] = texts
    if len(kept) < 2:
        raise InputError(
            f"{len(kept)} of {len(authors)} authors have enough prose to be told apart",
            f"give two or more, each with {MIN_DOCUMENTS} documents and {MIN_WORDS:,} words",
        )
    return kept


def cut_parts(documents: Sequence[Sequence[str]], words: int) -> list[list[str]]:
    """Runs of paragraphs of about `words` words, none of two documents."""
    parts: list[list[str]] = []
    for document in documents:
        parts.append([])
        for paragraph in document:
            if count_words(parts[-1]) >= words:
                parts.append([])
            parts[-1].append(paragraph)
    return [part for part in parts if count_words(part) >= words // 2]


def separate(pieces: Mapping[str, Pieces], seed: int) -> dict[tuple[int, str, str], float]:
    """(words, author, other) → AUC; the other author is in no background, the author's pieces are held out."""
    found: dict[tuple[int, str, str], float] = {}
    training = {name: one.training() for name, one in pieces.items()}
    shipped = {f"shipped {name}": one.training() for name, one in load_shipped_background(100).groups.items()}
    for author, own in pieces.items():
        folds = assign_folds(own)
        others = [name for name in pieces if name != author]
        groups = [others[start::MAX_LEFT_OUT] for start in range(min(MAX_LEFT_OUT, len(others)))]
        for group in groups:
            background = {name: training[name] for name in others if name not in group}
            if len(background) < MIN_BACKGROUND:
                background |= shipped
            scores: dict[str, list[tuple[int, np.ndarray]]] = {name: [] for name in [author, *group]}
            for fold in range(FOLDS):
                train = own.training(np.flatnonzero(folds != fold))
                classifier = fit_classifier(train, background, seed)
                for words in LENGTHS:
                    held, belongs = own.of_length(words)
                    rows = np.flatnonzero(folds[belongs] == fold)
                    scores[author].append((words, classifier.raw(held.take(rows))))
                    for name in group:
                        scores[name].append((words, classifier.raw(_thin(pieces[name], words))))
            for name in group:
                for words in LENGTHS:
                    pairs = [
                        auc(ours, theirs)
                        for (length, ours), (_, theirs) in zip(scores[author], scores[name], strict=True)
                        if length == words and len(ours) and len(theirs)
                    ]
                    if pairs:
                        found[words, author, name] = float(np.mean(pairs))
    return found


def separate_alone(pieces: Mapping[str, Pieces], seed: int) -> dict[tuple[int, str, str], float]:
    """The same for an author whose only background is what ships with the project."""
    background = {name: one.training() for name, one in load_shipped_background(100).groups.items()}
    found: dict[tuple[int, str, str], list[float]] = {}
    for author, own in pieces.items():
        folds = assign_folds(own)
        for fold in range(FOLDS):
            classifier = fit_classifier(own.training(np.flatnonzero(folds != fold)), background, seed)
            for words in LENGTHS:
                held, belongs = own.of_length(words)
                ours = classifier.raw(held.take(np.flatnonzero(folds[belongs] == fold)))
                for name in pieces:
                    theirs = classifier.raw(_thin(pieces[name], words)) if name != author else np.zeros(0)
                    if len(ours) and len(theirs):
                        found.setdefault((words, author, name), []).append(auc(ours, theirs))
    return {key: float(np.mean(values)) for key, values in found.items()}


def assign_folds(own: Pieces) -> np.ndarray:
    """A fold for each document, about as many pieces in each."""
    sizes = np.bincount(own.documents)
    folds, filled = np.zeros(len(sizes), dtype=int), np.zeros(FOLDS)
    for document in np.argsort(-sizes, kind="stable"):
        folds[document] = int(np.argmin(filled))
        filled[folds[document]] += sizes[document]
    return folds


def auc(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The chance that one of ours scores above one of theirs (ties count half)."""
    order = np.sort(theirs)
    below, upto = np.searchsorted(order, ours, "left"), np.searchsorted(order, ours, "right")
    return float((below + upto).sum() / 2 / len(ours) / len(theirs))


def _thin(pieces: Pieces, words: int, most: int = 200) -> Features:
    """At most `most` pieces of that length, evenly spread."""
    found = pieces.of_length(words)[0]
    return found.take(np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).astype(int)))


def _mean(found: Mapping[tuple[int, str, str], float], words: int, author: str | None = None) -> float:
    values = [value for (length, name, _), value in found.items() if length == words and author in (None, name)]
    return round(float(np.mean(values)), 4) if values else float("nan")
