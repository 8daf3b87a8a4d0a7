"""Learn the injection classifier from the known texts: `python -m llm_twin.serving.guardrails.training`.

Writes `tuned.npz` (the reader's adapters) and `weights.npz` (the regressions over wording, and the thresholds) beside
this module; takes half an hour on two cores. A text's value is the sum of both scores of its worst piece. The
thresholds, for questions and for documents, are where `FALSE_ALARMS` of the harmless texts lie above, each judged by a
classifier that saw nothing of its writer; sentences are blanked out of documents from where `BLANKED` of look-alikes
lie, and seldom out of ordinary writing. What took long is kept in a folder; `--fold WRITERS` makes one of those
classifiers only, `--fold all` the one that ships, so that several can be made at once.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm_twin.serving.guardrails.cutting import Piece, cut_examples
from llm_twin.serving.guardrails.examples import ORDINARY, Example, examples_digest, read_examples
from llm_twin.serving.guardrails.features import VERSION, build_rows, find_rules
from llm_twin.serving.guardrails.reader import build_reader
from llm_twin.serving.guardrails.tuning import tune

FOLDER = Path(__file__).parent
# Of look-alikes, by place; among documents half are the twin of a poisoned one. A question that is refused costs more
# than a passage that loses a sentence.
FALSE_ALARMS = {"input": 0.04, "document": 0.12}
BLANKED = 0.3  # share of harmless look-alikes among documents that may lose a sentence
ORDINARY_BLANKED = 0.01  # share of ordinary writing's pieces that may be blanked
STRENGTH = 4.0  # C of the regressions
FOLDS = ("a+b+h+i+n", "c+d+j+k+o", "e+f+g+l+m+p")  # writers who are left out together
ALL = "all"
PLACES = {"input": False, "document": True}


def judge_unseen(writers: str, examples: Sequence[Example], pieces: Sequence[Piece]) -> np.ndarray[Any, Any]:
    """Values of these writers' pieces from a classifier that saw nothing of theirs; NaN for all other pieces."""
    theirs = np.array([examples[piece.owner].writer in writers.split("+") for piece in pieces])
    reader = build_reader(tune([piece for piece, held in zip(pieces, theirs, strict=True) if not held]))
    rows = build_rows([piece.text for piece in pieces], find_rules([piece.text for piece in pieces]))
    values = np.full(len(pieces), np.nan)
    for document in PLACES.values():
        place = np.array([piece.document == document for piece in pieces])
        weights, offset = fit(rows[~theirs & place], np.array([p.label for p in pieces])[~theirs & place])
        held = theirs & place
        scores = reader.score([piece.text for piece, h in zip(pieces, held, strict=True) if h])
        values[held] = rows[held] @ weights + offset + scores[:, int(document)]
    return values


def fit(rows: Any, labels: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """A regression's weights and offset."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=STRENGTH, max_iter=300, class_weight="balanced").fit(rows, labels)
    return fitted.coef_[0], float(fitted.intercept_[0])


def choose_thresholds(
    examples: Sequence[Example], pieces: Sequence[Piece], unseen: np.ndarray[Any, Any]
) -> dict[str, float]:
    """The thresholds, and the shares caught at them, from values of pieces whose writer was left out."""
    worst = np.full(len(examples), -np.inf)
    known = ~np.isnan(unseen)
    owners = np.array([piece.owner for piece in pieces])
    np.maximum.at(worst, owners[known], unseen[known])
    ordinary = np.array([one.family == ORDINARY for one in examples])
    found: dict[str, float] = {}
    for place in PLACES:
        here = np.isfinite(worst) & ~ordinary & np.array([one.place == place for one in examples])
        attacks = np.array([one.attack for one in examples])
        found[f"{place}_threshold"] = float(np.quantile(worst[here & ~attacks], 1 - FALSE_ALARMS[place]))
        found[f"{place}_caught_unseen"] = float(np.mean(worst[here & attacks] > found[f"{place}_threshold"]))
        if place == "document":
            of_ordinary = unseen[known & ordinary[owners]]
            blank = max(
                np.quantile(worst[here & ~attacks], 1 - BLANKED), np.quantile(of_ordinary, 1 - ORDINARY_BLANKED)
            )
            found["blank_threshold"] = min(float(blank), found["document_threshold"])
    return found


def main() -> None:
    """Train on all known texts and write what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=Path, required=True, metavar="FOLDER", help="where what took long is kept")
    parser.add_argument("--fold", metavar="WRITERS", help="make this fold only, such as a+b, or `all`")
    args = parser.parse_args()
    examples = read_examples()
    pieces = cut_examples(examples)
    args.folds.mkdir(parents=True, exist_ok=True)
    tuned = args.folds / f"{examples_digest()}-all.npz"
    if args.fold in (None, ALL) and not tuned.is_file():
        np.savez_compressed(tuned, **tune(pieces))  # type: ignore[arg-type]
    if args.fold == ALL:
        return
    unseen = np.full(len(pieces), np.nan)
    for writers in [args.fold] if args.fold else FOLDS:
        path = args.folds / f"{examples_digest()}-{writers}.npy"
        if not path.is_file():
            np.save(path, judge_unseen(writers, examples, pieces))
        values = np.load(path)
        unseen = np.where(np.isnan(values), unseen, values)
    if args.fold:
        return
    found = choose_thresholds(examples, pieces, unseen)
    print({name: round(value, 3) for name, value in found.items()}, flush=True)
    shutil.copy(tuned, FOLDER / "tuned.npz")
    texts = [piece.text for piece in pieces]
    rows = build_rows(texts, find_rules(texts))
    for place, document in PLACES.items():
        here = np.array([piece.document == document for piece in pieces])
        weights, offset = fit(rows[here], np.array([piece.label for piece in pieces])[here])
        found |= {f"{place}_weights": weights.astype(np.float16), f"{place}_offset": offset}  # type: ignore[dict-item]
    np.savez_compressed(FOLDER / "weights.npz", **found, examples=examples_digest(), version=VERSION)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
