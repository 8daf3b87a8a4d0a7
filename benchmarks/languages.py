"""How often a document's language is found from its first 600 characters, beside other lengths and their time."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import time
from collections.abc import Iterator
from pathlib import Path

from lingua import Language

from llm_twin.errors import InputError
from llm_twin.features import cleaning

DESCRIPTION = (
    "language detection by the length of what is read: spaCy's example sentences, and a folder in one language"
)
LENGTHS = (200, 600, 2000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--data, --language, --documents."""
    parser.add_argument("--data", type=Path, required=True, help="a folder of Markdown, all in one language")
    parser.add_argument("--language", default="en", help="that language, as ISO 639-1")
    parser.add_argument("--documents", type=int, default=200)


def run(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Shares of texts whose language is found, of both kinds, and milliseconds a document."""
    examples = list(read_examples())
    files = sorted(args.data.rglob("*.md"))[: args.documents]
    if not files:
        raise InputError(f"{args.data} holds no Markdown files", "give --data a folder of *.md")
    texts = [(args.language, file.read_text(encoding="utf-8", errors="replace")) for file in files]
    cleaning.detect_language("a first call loads the models")
    figures: dict[str, float | int | str] = {"languages": len({code for code, _ in examples}), "documents": len(texts)}
    print(f"{'characters':>10} {'examples':>9} {'documents':>10} {'ms a document':>14}")
    for length in LENGTHS:
        right = sum(cleaning.detect_language(text, length) == code for code, text in examples) / len(examples)
        begun = time.perf_counter()
        found = sum(cleaning.detect_language(text, length) == code for code, text in texts) / len(texts)
        milliseconds = (time.perf_counter() - begun) / len(texts) * 1000
        print(f"{length:>10} {right:>9.3f} {found:>10.3f} {milliseconds:>14.1f}", flush=True)
        figures |= {f"examples_{length}": round(right, 4), f"documents_{length}": round(found, 4)}
        figures[f"ms_{length}"] = round(milliseconds, 2)
    return figures


def read_examples() -> Iterator[tuple[str, str]]:
    """Language and text: spaCy's example sentences of each language that the detector knows, three to a text."""
    try:
        import spacy.lang
    except ImportError as error:
        raise InputError("the example sentences are spaCy's", "pip install 'llm-twin[entities]'") from error
    known = {language.iso_code_639_1.name.lower() for language in Language.all()}
    for module in pkgutil.iter_modules(spacy.lang.__path__):
        if module.name in known:
            try:
                sentences = importlib.import_module(f"spacy.lang.{module.name}.examples").sentences
            except ImportError:
                continue  # a language without examples, or with a tokenizer of its own that is not installed
            for start in range(0, len(sentences) - 2, 3):
                yield module.name, " ".join(sentences[start : start + 3])
