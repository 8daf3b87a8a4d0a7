"""What is known of each unit before it is judged: the witnesses' votes, the units around it, its form, the page."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np
from lxml.html import HtmlElement
from numpy.typing import NDArray

from llm_twin.collection.extraction.markdown import HEADINGS
from llm_twin.collection.extraction.trees import is_hidden
from llm_twin.collection.extraction.units import Unit

KEPT_SHARE = 0.7  # of a unit's words, for a witness to have kept it
HOLDING_SHARE = 0.9  # of a selection's words, for an element to hold it

_AGAINST = re.compile(
    r"comment|disqus|share|social|related|recommend|sidebar|footer|promo|newsletter|subscribe|signup|nav|menu|"
    r"breadcrumb|widget|advert|\bad-|sponsor|author-bio|bio\b|byline|meta|tags?\b|popup|modal|cookie|banner|outbrain|"
    r"taboola|more-|read-?next|pagination|login|toolbar|hidden|print|credit|caption",
    re.IGNORECASE,
)
_FOR = re.compile(r"article|post|entry|content|body|story|text|main|hentry|blog|page", re.IGNORECASE)
_COMMENTS = re.compile(r"comment|disqus|respond|reply|replies", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?…:\"”'’)]\s*$")
_OUTSIDE = {"nav", "footer", "aside", "header", "form"}

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]


def describe_units(units: list[Unit], shares: Numbers, sizes: Numbers) -> dict[str, Numbers]:
    """The features by name, each of shape (n,); `shares`, shape (n, 3), are those of the witnesses and of JSON-LD."""
    count = len(units)
    t, r, told = shares[:, 0], shares[:, 1], shares[:, 2]
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
    columns |= _describe_page(units, sizes, links, (in_t, in_r))
    columns["told"] = told
    columns["pg_told"] = np.full(count, float((sizes * told).sum()) / max(1.0, float(sizes.sum())))
    columns["win_t"], columns["win_r"] = _around(t, sizes), _around(r, sizes)
    return columns


def _describe_page(units: list[Unit], sizes: Numbers, links: Numbers, kept: tuple[Mask, Mask]) -> dict[str, Numbers]:
    """How much of the page each witness keeps, and where on the page, and in which part of the tree, a unit lies."""
    count, whole = len(units), max(1.0, float(sizes.sum()))
    both = kept[0] & kept[1]
    figures = {
        "pg_log_all": np.log1p(float(sizes.sum())),
        "pg_units": np.log1p(count),
        "pg_link": float((links * sizes).sum()) / whole,
    }
    columns: dict[str, Numbers] = {}
    for name, mask in (("t", kept[0]), ("r", kept[1]), ("b", both)):
        size = float(sizes[mask].sum())
        if name != "b":
            figures |= {
                f"pg_log_{name}": np.log1p(size),
                f"pg_share_{name}": size / whole,
                f"pg_link_{name}": float((links * sizes)[mask].sum()) / max(1.0, size),
                f"pg_both_{name}": float(sizes[both].sum()) / max(1.0, size),
            }
        inside = _lies_inside(units, _find_holder(units, mask))
        held = float(sizes[inside].sum())
        columns[f"lca_{name}"] = inside.astype(float)
        figures[f"lcafill_{name}"] = float(sizes[inside & mask].sum()) / max(1.0, held)
        figures[f"lcashare_{name}"] = held / whole
    columns |= {name: np.full(count, float(figure)) for name, figure in figures.items()}
    times = Counter(tuple(unit.tokens) for unit in units)
    columns["dup"] = np.array([float(times[tuple(unit.tokens)] > 1) for unit in units])
    columns["place"] = np.arange(count) / max(1, count - 1)
    return columns


def _find_holder(units: list[Unit], mask: Mask) -> HtmlElement | None:
    """The deepest element that holds nine tenths of a selection's words."""
    held: dict[HtmlElement, int] = defaultdict(int)
    chosen = [unit for unit, keep in zip(units, mask, strict=True) if keep]
    for unit in chosen:
        for element in (unit.element, *unit.element.iterancestors()):
            held[element] += len(unit.tokens)
    enough = HOLDING_SHARE * sum(len(unit.tokens) for unit in chosen)
    holders = [element for element, size in held.items() if size >= enough]
    return max(holders, key=lambda element: sum(1 for _ in element.iterancestors()), default=None)


def _lies_inside(units: list[Unit], holder: HtmlElement | None) -> Mask:
    if holder is None:
        return np.zeros(len(units), bool)
    return np.array([any(e is holder for e in (u.element, *u.element.iterancestors())) for u in units])


def _around(votes: Numbers, sizes: Numbers, reach: int = 8) -> Numbers:
    """Mean vote of the units up to `reach` before and after, each weighted by its size, without the unit's own."""
    weighted, whole = (np.concatenate([[0.0], np.cumsum(x)]) for x in (votes * sizes, sizes))
    places = np.arange(len(sizes))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(sizes))
    own = weighted[high] - weighted[low] - votes * sizes
    return np.asarray(own / np.maximum(whole[high] - whole[low] - sizes, 1e-9), float)


def _describe_form(unit: Unit) -> dict[str, bool]:
    """What a unit's own markup and that around it say."""
    element = unit.element
    above = list(element.iterancestors())
    tags = [str(a.tag) for a in above]
    names = " ".join(
        f"{e.get('class') or ''} {e.get('id') or ''}" for e in [element, *above][:4] if e.tag not in ("body", "html")
    )
    named = [e for e in (element, *above) if e.tag not in ("body", "html")]
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
        "comment": any(_COMMENTS.search(f"{e.get('class') or ''} {e.get('id') or ''}") for e in named),
        "hidden": any(is_hidden(e) for e in (element, *above)),
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
