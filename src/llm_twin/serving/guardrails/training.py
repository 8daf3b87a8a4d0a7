"""Learn the injection classifier's weights from the known texts: `python -m llm_twin.serving.guardrails.training`.

Writes `weights.npz` beside this module. Logistic regression; its threshold, one for questions and one for documents, is
where `FALSE_ALARMS` of the harmless whole texts lie above it, each judged by a regression that never saw its family.
Patterns are left out of that count: one left out takes its words, often its language, with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from llm_twin.serving.guardrails.examples import Example, examples_digest, read_examples
from llm_twin.serving.guardrails.features import VERSION, build_rows, find_rules

WEIGHTS = Path(__file__).with_name("weights.npz")
FALSE_ALARMS = 0.03
STRENGTH = 4.0  # C of the regression
FOLDS = 8


def train(layers: Any) -> dict[str, Any]:
    """The weights, offset and threshold, and what was seen when families were left out."""
    examples = read_examples()
    texts = [one.text for one in examples]
    rows = build_rows(texts, [one.place == "document" for one in examples], find_rules(texts), layers)
    attacks = np.array([one.attack for one in examples])
    unseen = judge_unseen(rows, attacks, examples)
    whole = np.array([one.family.startswith("known:") for one in examples])
    documents = np.array([one.place == "document" for one in examples])
    thresholds = {
        place: float(np.quantile(unseen[whole & ~attacks & (documents == (place == "document"))], 1 - FALSE_ALARMS))
        for place in ("input", "document")
    }
    over = unseen > np.where(documents, thresholds["document"], thresholds["input"])
    fitted = _fit(rows, attacks)
    return {
        "weights": fitted.coef_[0].astype(np.float16),
        "offset": float(fitted.intercept_[0]),
        **{f"{place}_threshold": threshold for place, threshold in thresholds.items()},
        "caught_unseen": float(np.mean(over[whole & attacks])),
        "caught_unseen_documents": float(np.mean(over[whole & attacks & documents])),
        "caught_unseen_patterns": float(np.mean(over[attacks & ~whole])),
        "alarms_unseen_patterns": float(np.mean(over[~attacks & ~whole])),
        "examples": examples_digest(),
        "version": VERSION,
    }


def judge_unseen(rows: Any, attacks: np.ndarray, examples: list[Example]) -> np.ndarray:
    """Each text's value from a regression that saw nothing of its group."""
    groups = sorted({one.group for one in examples})
    fold_of = {group: i % FOLDS for i, group in enumerate(np.random.RandomState(0).permutation(groups))}
    folds = np.array([fold_of[one.group] for one in examples])
    values = np.zeros(len(examples))
    for fold in range(FOLDS):
        fitted = _fit(rows[folds != fold], attacks[folds != fold])
        values[folds == fold] = fitted.decision_function(rows[folds == fold])
    return values


def _fit(rows: Any, attacks: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=STRENGTH, max_iter=300, class_weight="balanced").fit(rows, attacks)


def main() -> None:
    """Train on all known texts and write the weights."""
    from llm_twin.embedding import load_middle_layers

    learned = train(load_middle_layers())
    np.savez_compressed(WEIGHTS, **learned)
    print({name: value for name, value in learned.items() if name != "weights"})


if __name__ == "__main__":
    main()
