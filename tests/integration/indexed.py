"""Made documents, what an index of them is to hold and what one holds: for the tests of sync."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

from llm_twin.documents import Document, stable_id
from llm_twin.features.chunking import chunk_documents
from llm_twin.features.cleaning import clean_documents
from llm_twin.recipes import FeaturesRecipe
from llm_twin.stores.vectors import VectorIndex
from llm_twin.stores.warehouse import Warehouse

RECIPE = FeaturesRecipe(max_tokens=48)
WORDS = "river tide clock lantern harbour engine ledger valve signal meadow copper thread anchor window barley".split()


def make_document(author: str, name: str, revision: int = 0, paragraphs: int = 4, marker: str = "") -> Document:
    generator = random.Random(f"{name}-{revision if revision else 0}")
    parts = []
    for at in range(paragraphs):
        own = random.Random(f"{name}-{at}") if at else generator
        parts.append(" ".join(f"{own.choice(WORDS)}{own.randrange(90)}" for _ in range(14)) + f" {marker}.")
    url = f"https://example.org/{author}/{name}"
    text = f"# About {name}\n\n" + "\n\n".join(parts)
    return Document(
        document_id=stable_id(author, url),
        revision_id=stable_id(text),
        author=author,
        platform="site",
        kind="article",
        url=url,
        title=f"About {name}",
        language="en",
        published=datetime(2024, 1, 1, tzinfo=UTC),
        text=text,
    )


def put(warehouse: Warehouse, *documents: Document) -> None:
    for document in documents:
        warehouse.write_revision(document, document.text.encode())


def expected_chunks(warehouse: Warehouse, author: str) -> dict[str, str]:
    clean = clean_documents(warehouse.current_documents(author), RECIPE, lambda _: "Ann Author")
    return {chunk.chunk_id: chunk.model_dump_json() for chunk in chunk_documents(clean, RECIPE)}


def indexed_chunks(index: VectorIndex, author: str) -> dict[str, str]:
    return {chunk.chunk_id: chunk.model_dump_json() for chunk in index.iterate_chunks(author)}


def identity(author: str, name: str) -> dict[str, str]:
    url = f"https://example.org/{author}/{name}"
    return {"url": url, "document_id": stable_id(author, url)}


def find_traces(folders: list[Path], traces: list[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for file in (one for folder in folders for one in folder.rglob("*") if one.is_file()):
        content = file.read_bytes().rstrip(b"\0")  # logs are allocated ahead
        found |= {trace for trace in traces if trace in content}
    return found
