"""Documents made ready for use: validated, with a style view (as written) and a retrieval view (masked, normalised).

What is left out is counted by its reason, never lost in silence.
"""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llm_twin.digests import digest_json
from llm_twin.documents import CleanDocument, Document
from llm_twin.lines import find_lines
from llm_twin.recipes import FeaturesRecipe

if TYPE_CHECKING:
    from llm_twin.stores.warehouse import Warehouse

_BLANKS = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u205f\u3000]+(?=\n|$)|\u00a0")
_MANY_LINES = re.compile(r"\n{4,}")
_INVISIBLE = re.compile(r"[\u200b\u200c\u200d\u2060\ufeff\u00ad]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNUSUAL = re.compile(r"[^\t\n -~]")
_WORD = re.compile(r"\w+")
_LANGUAGE_SAMPLE = 600  # characters: the detector takes as long as the text, and is as sure of a paragraph


@dataclass
class CleaningReport:
    """What cleaning did: documents in and kept, reasons of the rest, PII masked by kind, encodings repaired."""

    documents: int = 0
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    dropped: list[tuple[str, str, str]] = field(default_factory=list)  # url, reason, detail


def clean_documents(
    documents: Iterable[Document],
    recipe: FeaturesRecipe,
    name_of: Callable[[str], str] = str,
    report: CleaningReport | None = None,
) -> Iterator[CleanDocument]:
    """Clean documents and leave out what is short, in another language, or a duplicate.

    `name_of` gives an author's name by id: it is no personal data of others. Of duplicates the earliest published
    is kept (the lowest id on a tie), so the result does not depend on order. Until it is known which those are the
    clean documents wait in a file without a name: memory does not grow with them.
    """
    from llm_twin.features.duplicates import DuplicateTable

    tally = report if report is not None else CleaningReport()
    table = DuplicateTable(recipe.near_duplicate_jaccard)
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", prefix="twin-cleaned-") as spool:
        for document in documents:
            tally.documents += 1
            clean, reason = clean_document(document, recipe, name_of(document.author), tally)
            if clean is None:
                tally.reasons[reason] += 1
                tally.dropped.append((document.url, reason, ""))
            else:
                table.put(clean)
                spool.write(clean.model_dump_json() + "\n")
        dropped = table.choose_dropped()
        spool.seek(0)
        for line in spool:
            clean = CleanDocument.model_validate_json(line)
            if clean.document_id in dropped:
                reason, kept_url = dropped[clean.document_id]
                tally.reasons[reason] += 1
                tally.dropped.append((clean.url, reason, kept_url))
            else:
                tally.kept += 1
                yield clean


def clean_snapshot(
    warehouse: Warehouse, snapshot: str, recipe: FeaturesRecipe, report: CleaningReport
) -> Iterator[CleanDocument]:
    """Clean the documents of a snapshot, in the order of their ids."""
    names: dict[str, str] = {}

    def name_of(author: str) -> str:
        if author not in names:
            found = warehouse.get_author(author)
            names[author] = found.name if found else ""
        return names[author]

    yield from clean_documents(warehouse.read_snapshot(snapshot), recipe, name_of, report)


def clean_document(
    document: Document, recipe: FeaturesRecipe, author_name: str = "", report: CleaningReport | None = None
) -> tuple[CleanDocument | None, str]:
    """One document cleaned, or None and why: too-short, language, no-words."""
    tally = report if report is not None else CleaningReport()
    repaired = repair_encoding(document.text)
    tally.repaired += repaired != document.text
    words = len(_WORD.findall(repaired))
    if words < recipe.min_words:
        return None, "too-short"
    language = document.language or detect_language(repaired)
    if recipe.languages and language not in recipe.languages:
        return None, f"language:{language or 'unknown'}"
    retrieval = normalise_text(repaired)
    if recipe.mask_pii:
        from llm_twin.privacy import mask_pii

        masked = mask_pii(retrieval, author_name=author_name)
        retrieval = masked.text
        tally.masked.update(masked.counts)
    clean = CleanDocument(
        **document.model_dump(exclude={"text", "language", "metadata", "subtitle", "updated"}),
        language=language,
        text=repaired,
        retrieval_text=retrieval,
        metadata=_describe(document, retrieval, recipe),
    )
    return clean, ""


def repair_encoding(text: str) -> str:
    """Mojibake mended (ftfy), control characters out; what the author typed stays as it is.

    ftfy goes line by line, and changes no line of printable ASCII: only the others are given to it.
    """
    if _UNUSUAL.search(text) is None:
        return text
    import ftfy

    options: Any = ftfy.TextFixerConfig(
        uncurl_quotes=False, fix_latin_ligatures=False, fix_character_width=False, normalization=None,
        unescape_html=False,
    )  # fmt: skip
    pieces: list[str] = []
    at = 0
    for start, end in find_lines(text, _UNUSUAL):
        pieces += [text[at:start], ftfy.fix_text(text[start : end + 1], config=options)]  # with its end of line
        at = end + 1
    return "".join(pieces) + text[at:]


def normalise_text(text: str) -> str:
    """The form that is searched: NFC, plain spaces, no invisible characters, no trailing blanks."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub("", _INVISIBLE.sub("", text))
    text = _BLANKS.sub(lambda match: " " if match[0] == "\u00a0" else "", text)
    return _MANY_LINES.sub("\n\n\n", text).strip()


def detect_language(text: str, characters: int = _LANGUAGE_SAMPLE) -> str | None:
    """ISO 639-1 code of the language that `text` is most likely in, from its first characters; None if unsure."""
    found = _detector().detect_language_of(text[:characters])
    return found.iso_code_639_1.name.lower() if found else None


@lru_cache(maxsize=1)
def _detector() -> Any:
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


def _describe(document: Document, text: str, recipe: FeaturesRecipe) -> dict[str, Any]:
    """Metadata of a clean document, of its masked view; `source` names the record it was made from."""
    from llm_twin.features.metadata import describe_text

    metadata: dict[str, Any] = {"source": digest_json(document.model_dump(mode="json"))[:16]}
    if recipe.metadata:
        metadata |= describe_text(text, recipe.metadata, recipe.entity_pipeline)
    return metadata
