"""English prose for the seedling, from the documentation inside installed packages.

There is no download: the docstrings of named distributions are read with `ast` (nothing is imported or run), and
only paragraphs of flowing prose are kept. The corpus is a function of the distributions' names and versions; its
hash is printed and is part of the seedling's cache key.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from llm_twin.digests import digest_json
from llm_twin.errors import ModelError
from llm_twin.progress import report, track

MIN_WORDS = 12  # of a paragraph
MIN_PLAIN_SHARE = 0.85  # of a paragraph's words that are nothing but letters
NOT_PROSE = re.compile(r">>>|::|\|\s|^\s*[-=~*^]{3,}|^\s*\.\. |:param|:return|:raises|https?://|^\s*[@#]", re.MULTILINE)
HEADINGS = re.compile(r"^(Parameters|Returns|Raises|Examples?|Notes?|References|See Also|Args|Attributes)\b")
ROLE = re.compile(r":[a-zA-Z:]+:`~?([^`<]+?)(?:\s*<[^`]*>)?`")


@dataclass(frozen=True)
class Passage:
    """One paragraph of prose and the name of what it documents."""

    name: str
    text: str


@dataclass(frozen=True)
class Corpus:
    """Passages in a fixed order, where they come from, and their hash."""

    passages: list[Passage]
    sources: dict[str, str]  # distribution → version
    digest: str

    @property
    def words(self) -> int:
        """How many words the passages hold."""
        return sum(len(passage.text.split()) for passage in self.passages)


def installed_sources(packages: list[str]) -> dict[str, str]:
    """Versions of those of `packages` that are installed; raises ModelError when none is."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            report(f"seedling corpus: {package} is not installed, left out")
    if not found:
        raise ModelError(
            f"none of the seedling's text packages is installed: {', '.join(packages)}",
            "name installed distributions in training.seedling.packages, or set training.base_model to a model folder",
        )
    return found


def read_corpus(packages: list[str], max_words: int) -> Corpus:
    """Read the prose of `packages`, at most `max_words` words, thinned evenly so that every package has its share."""
    sources = installed_sources(packages)
    seen: set[str] = set()
    passages = []
    for package in track(list(sources), "reading the seedling's corpus"):
        for passage in _read_distribution(package):
            if passage.text not in seen:
                seen.add(passage.text)
                passages.append(passage)
    passages = _thin(passages, max_words)
    if sum(len(passage.text.split()) for passage in passages) < 2000:
        raise ModelError(
            f"the documentation of {', '.join(sources)} holds too little prose to train on",
            "name more distributions in training.seedling.packages (python -OO strips docstrings from byte code "
            "only; the .py files must be there)",
        )
    digest = digest_json([(passage.name, passage.text) for passage in passages])
    return Corpus(passages, sources, digest)


def _thin(passages: list[Passage], max_words: int) -> list[Passage]:
    """Drop passages at even distances until about `max_words` words are left."""
    total = sum(len(passage.text.split()) for passage in passages)
    if total <= max_words:
        return passages
    kept, credit = [], 0.0
    for passage in passages:
        credit += max_words / total
        if credit >= 1:
            credit -= 1
            kept.append(passage)
    return kept


def _read_distribution(package: str) -> Iterator[Passage]:
    files = sorted(
        (file for file in metadata.distribution(package).files or [] if file.suffix == ".py"),
        key=lambda f: f.as_posix(),
    )
    for file in files:
        if any("test" in part or part.startswith("_vendor") for part in file.parts):
            continue
        path = Path(str(file.locate()))
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue  # a template or a file for another Python: not a source of prose
        module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = module if isinstance(node, ast.Module) else node.name
                for text in prose_paragraphs(ast.get_docstring(node) or ""):
                    yield Passage(name, text)


def prose_paragraphs(docstring: str) -> Iterator[str]:
    """The paragraphs of a docstring that read as prose, on one line each, without reStructuredText marks."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        if NOT_PROSE.search(paragraph) or HEADINGS.match(paragraph.strip()):
            continue
        text = " ".join(ROLE.sub(r"\1", paragraph).replace("``", "").replace("`", "").split())
        words = text.split()
        if len(words) < MIN_WORDS or not text[0].isupper() or text[-1] not in ".!?":
            continue
        if sum(word.strip(".,;:()\"'!?").isalpha() for word in words) / len(words) >= MIN_PLAIN_SHARE:
            yield text
