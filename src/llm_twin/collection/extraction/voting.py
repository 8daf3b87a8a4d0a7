"""Which units of a page are its article.

Each unit gets a probability from what both witnesses say of it, of its neighbours and of the page, and from its own
form: boosted trees over the features of `describe.py`, fitted as `python -m benchmarks.extraction_fit` does, on 1,338
labelled pages (article-extraction-benchmark by Scrapinghub, MIT; WCXB by M. Foley, CC BY 4.0; numbers only). Of the
witnesses' selections, their union and their intersection, the page gets the one with the best expected F1; clear cases
are then corrected unit by unit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from lxml.html import HtmlElement

from llm_twin.collection.extraction.describe import KEPT_SHARE, Mask, Numbers, describe_units
from llm_twin.collection.extraction.forest import load_forest
from llm_twin.collection.extraction.units import Unit
from llm_twin.collection.extraction.witnesses import Coverage

DROP_BELOW = 0.15
ADD_ABOVE = 0.7
BODY_CHANCE = 0.6  # below ADD_ABOVE: the selection as a whole decides
REPEAT_TOKENS = 12  # a paragraph as long as this is a copy if another part of the page has it


def select_units(units: list[Unit], first: Coverage, second: Coverage, told: Coverage) -> list[Unit]:
    """The units of the article, in order, copies of a paragraph in another part of the page left out."""
    if not units:
        return []
    evidence = weigh_units(units, first, second, told)
    mask = choose_units(load_forest().predict(evidence.columns), evidence)
    kept: list[Unit] = []
    holders: dict[tuple[str, ...], HtmlElement | None] = {}
    times: Counter[tuple[str, ...]] = Counter()
    for unit in (unit for unit, keep in zip(units, mask, strict=True) if keep):
        key, parent = tuple(unit.tokens), unit.element.getparent()
        # Said again beside itself it is the author's refrain; elsewhere a copy for phones, a pulled quote, a teaser,
        # unless both witnesses have it as often.
        said = times[key] < min(first.lines[key], second.lines[key])
        if len(key) < REPEAT_TOKENS or holders.setdefault(key, parent) is parent or said:
            times[key] += 1
            kept.append(unit)
    return kept


@dataclass(frozen=True)
class Evidence:
    """What is known of a page's units, each array of shape (n,); the features by name, as the forest reads them."""

    columns: dict[str, Numbers]
    sizes: Numbers
    one: Mask
    two: Mask
    dependent: Mask


def weigh_units(units: list[Unit], first: Coverage, second: Coverage, told: Coverage) -> Evidence:
    """Lay the witnesses over the units."""
    shares = np.array([[witness.share(u.tokens) for witness in (first, second, told)] for u in units])
    sizes = np.array([len(u.tokens) for u in units], float)
    one, two = shares[:, 0] >= KEPT_SHARE, shares[:, 1] >= KEPT_SHARE
    dependent = np.array([_is_dependent(unit) for unit in units])
    return Evidence(describe_units(units, shares, sizes), sizes, one, two, dependent)


def choose_units(chances: Numbers, evidence: Evidence) -> Mask:
    """The selection with the best expected F1, corrected where a unit's probability is clear."""
    one, two, sizes = evidence.one, evidence.two, evidence.sizes
    inside = _belongs_to_body(evidence)
    chances = np.where(inside, np.maximum(chances, BODY_CHANCE), chances)
    best = max((one, two, one | two, one & two), key=lambda mask: _expected_f1(mask, chances, sizes))
    return np.asarray((best & (chances > DROP_BELOW)) | (chances > ADD_ABOVE))


def _belongs_to_body(evidence: Evidence) -> Mask:
    """Small parts that stand or fall with the text around them: subheadings, captions, and the cells of data tables.

    Between two paragraphs that both witnesses keep, one witness is enough for them.
    """
    core = np.flatnonzero(evidence.one & evidence.two & (evidence.sizes >= 5))
    inside = np.zeros(len(evidence.sizes), bool)
    if len(core):
        inside[core[0] : core[-1] + 1] = True
    return np.asarray(inside & evidence.dependent & (evidence.one | evidence.two))


def _is_dependent(unit: Unit) -> bool:
    element = unit.element
    if unit.link_tokens * 2 > len(unit.tokens):
        return False
    if element.tag in ("h2", "h3", "h4", "h5", "h6", "figcaption", "td", "th", "caption"):
        return True
    above = [element, *element.iterancestors()][:4]
    return any(e.tag in ("figure", "figcaption") or "caption" in (e.get("class") or "").lower() for e in above)


def _expected_f1(mask: Mask, chances: Numbers, sizes: Numbers) -> float:
    """Token F1 of a selection if each unit belongs to the article with its probability."""
    right = float((sizes * chances)[mask].sum())
    return 2 * right / (float(sizes[mask].sum()) + float((sizes * chances).sum()) + 1e-9)
