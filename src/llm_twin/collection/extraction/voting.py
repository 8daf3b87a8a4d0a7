"""Which units of a page are its article.

Each unit gets a probability from what both witnesses say of it, of its neighbours and of its siblings, and from its
own form: a logistic regression over the features below, fitted on 181 labelled news and blog pages (article-
extraction-benchmark by Scrapinghub, MIT; numbers only). Of the witnesses' selections, their union and their
intersection, the page gets the one with the best expected F1; clear cases are then corrected unit by unit.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm_twin.collection.extraction.markdown import HEADINGS
from llm_twin.collection.extraction.units import Unit
from llm_twin.collection.extraction.witnesses import Coverage

KEPT_SHARE = 0.7  # of a unit's words, for a witness to have kept it
DROP_BELOW = 0.2
ADD_ABOVE = 0.6
BODY_CHANCE = 0.75
REPEAT_TOKENS = 12  # a paragraph as long as this does not come twice in one article

_AGAINST = re.compile(
    r"comment|disqus|share|social|related|recommend|sidebar|footer|promo|newsletter|subscribe|signup|nav|menu|"
    r"breadcrumb|widget|advert|\bad-|sponsor|author-bio|bio\b|byline|meta|tags?\b|popup|modal|cookie|banner|outbrain|"
    r"taboola|more-|read-?next|pagination|login|toolbar|hidden|print|credit|caption",
    re.IGNORECASE,
)
_FOR = re.compile(r"article|post|entry|content|body|story|text|main|hentry|blog|page", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…:\"”'’)]\s*$")
_OUTSIDE = {"nav", "footer", "aside", "header", "form"}

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@cache
def _weights() -> tuple[float, dict[str, float]]:
    content = json.loads((Path(__file__).parent / "weights.json").read_text())
    return content["intercept"], content["weights"]


def select_units(units: list[Unit], first: Coverage, second: Coverage) -> list[Unit]:
    """The units of the article, in order, repeated paragraphs once."""
    if not units:
        return []
    shares = np.array([[first.share(u.tokens), second.share(u.tokens)] for u in units])
    sizes = np.array([len(u.tokens) for u in units], float)
    chances = judge_units(units, shares, sizes)
    one, two = shares[:, 0] >= KEPT_SHARE, shares[:, 1] >= KEPT_SHARE
    chances = np.where(_belongs_to_body(units, sizes, one, two), np.maximum(chances, BODY_CHANCE), chances)
    best = max((one, two, one | two, one & two), key=lambda mask: _expected_f1(mask, chances, sizes))
    mask = (best & (chances > DROP_BELOW)) | (chances > ADD_ABOVE)
    kept: list[Unit] = []
    seen: set[tuple[str, ...]] = set()
    for unit in (unit for unit, keep in zip(units, mask, strict=True) if keep):
        key = tuple(unit.tokens)
        if len(key) < REPEAT_TOKENS or key not in seen:
            kept.append(unit)
        seen.add(key)
    return kept


def _belongs_to_body(units: list[Unit], sizes: Numbers, one: Mask, two: Mask) -> Mask:
    """Small parts that stand or fall with the text around them: subheadings, captions, and the cells of data tables.

    Between two paragraphs that both witnesses keep, one witness is enough for them.
    """
    core = np.flatnonzero(one & two & (sizes >= 5))
    inside = np.zeros(len(units), bool)
    if len(core):
        inside[core[0] : core[-1] + 1] = True
    dependent = np.array([_is_dependent(unit) for unit in units])
    return np.asarray(inside & dependent & (one | two))


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


def judge_units(units: list[Unit], shares: Numbers, sizes: Numbers) -> Numbers:
    """The probability of each unit to belong to the article; shapes (n,), (n, 2), (n,)."""
    intercept, weights = _weights()
    columns = describe_units(units, shares, sizes)
    score = intercept + sum(weights[name] * columns[name] for name in weights)
    return 1 / (1 + np.exp(-np.clip(score, -30, 30)))


def describe_units(units: list[Unit], shares: Numbers, sizes: Numbers) -> dict[str, Numbers]:
    """The features by name, each of shape (n,)."""
    count = len(units)
    t, r = shares[:, 0], shares[:, 1]
    in_t, in_r = t >= KEPT_SHARE, r >= KEPT_SHARE
    both = in_t & in_r
    core = np.flatnonzero(both & (sizes >= 5))
    begin, end = (int(core[0]), int(core[-1])) if len(core) else (0, count - 1)
    places = np.arange(count)
    total_t, total_r = float(sizes[in_t].sum()), float(sizes[in_r].sum())
    either = float(sizes[in_t | in_r].sum())
    before, after = _neighbours((t + r) / 2, np.minimum(sizes, 30))
    siblings = _siblings(units, sizes, (both, in_t, in_r))
    depths = np.array([sum(1 for _ in u.element.iterancestors()) for u in units], float)
    usual = float(np.average(depths[both], weights=sizes[both])) if both.any() else float(depths.mean())
    links = np.array([u.link_tokens / len(u.tokens) for u in units])
    columns: dict[str, Numbers] = {
        "t": t, "r": r, "tr": t * r, "t_only": t * (1 - r), "r_only": r * (1 - t),
        "logn": np.log1p(sizes), "link": links,
        "linkfull": (links > 0.8).astype(float), "short": (sizes < 4).astype(float),
        "before": np.where(places < begin, (begin - places) / count, 0.0),
        "after": np.where(places > end, (places - end) / count, 0.0),
        "nbp": before, "nbn": after, "nb_min": np.minimum(before, after),
        "sib": siblings[0], "sib_t": siblings[1], "sib_r": siblings[2],
        "agree": np.full(count, float(sizes[both].sum()) / max(1.0, either)),
        "tfrac": np.full(count, total_t / max(1.0, total_t + total_r)),
        "rfrac": np.full(count, total_r / max(1.0, total_t + total_r)),
        "depthdiff": np.abs(depths - usual) / 10,
    }  # fmt: skip
    forms = [_describe_form(unit) for unit in units]
    columns |= {name: np.array([form[name] for form in forms], float) for name in forms[0]}
    return columns


def _describe_form(unit: Unit) -> dict[str, bool]:
    """What a unit's own markup and that around it say."""
    element = unit.element
    above = list(element.iterancestors())
    tags = [str(a.tag) for a in above]
    names = " ".join(
        f"{e.get('class') or ''} {e.get('id') or ''}" for e in [element, *above][:4] if e.tag not in ("body", "html")
    )
    return {
        "heading": element.tag in HEADINGS,
        "li": element.tag == "li" or "li" in tags[:2],
        "p": element.tag == "p",
        "pre": element.tag == "pre" or "pre" in tags,
        "cell": element.tag in ("td", "th"),
        "cap": element.tag == "figcaption" or "figcaption" in tags or "figure" in tags[:3],
        "punct": bool(_SENTENCE_END.search(unit.text)),
        "neg": bool(_AGAINST.search(names)),
        "pos": bool(_FOR.search(names)),
        "navtag": not _OUTSIDE.isdisjoint(tags),
        "inart": "article" in tags or "main" in tags,
    }


def _neighbours(votes: Numbers, sizes: Numbers) -> tuple[Numbers, Numbers]:
    """Mean votes of the three units before, and of the three after, each weighted by its size."""
    weighted: Numbers = np.concatenate([[0.0], np.cumsum(votes * sizes)])
    whole = np.concatenate([[0.0], np.cumsum(sizes)])
    places = np.arange(len(votes))

    def mean(low: NDArray[np.int_], high: NDArray[np.int_]) -> Numbers:
        size = whole[high] - whole[low]
        return np.asarray(np.where(size > 0, (weighted[high] - weighted[low]) / np.maximum(size, 1e-9), 0.0), float)

    last = len(votes)
    return mean(np.maximum(places - 3, 0), places), mean(np.minimum(places + 1, last), np.minimum(places + 4, last))


def _siblings(units: list[Unit], sizes: Numbers, masks: tuple[Mask, Mask, Mask]) -> list[Numbers]:
    """For each mask, the share of a unit's siblings' words that it holds; one half for an only child."""
    holders = [u.element.getparent() for u in units]  # kept alive: lxml gives an id anew once an object is gone
    parents = [id(holder) for holder in holders]
    whole: dict[int, float] = defaultdict(float)
    for parent, size in zip(parents, sizes, strict=True):
        whole[parent] += size
    results = []
    for mask in masks:
        held: dict[int, float] = defaultdict(float)
        for parent, size, inside in zip(parents, sizes, mask, strict=True):
            held[parent] += size * inside
        others = np.array([whole[p] - s for p, s in zip(parents, sizes, strict=True)])
        own = np.array([held[p] - s * m for p, s, m in zip(parents, sizes, mask, strict=True)])
        results.append(np.where(others > 0, own / np.maximum(others, 1e-9), 0.5))
    return results
