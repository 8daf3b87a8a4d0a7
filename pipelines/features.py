"""Features: clean, chunk, embed, index."""

from typing import Any, NamedTuple

from kfp import dsl

from components.features.chunk_documents import chunk_documents
from components.features.clean_documents import clean_documents
from components.features.embed_chunks import embed_chunks
from components.features.index_chunks import index_chunks
from pipelines.options import BuildOptions


def build(options: BuildOptions) -> Any:
    """The pipeline `features`."""
    Outputs = NamedTuple(
        "Outputs", [("documents", dsl.Dataset), ("chunks", dsl.Dataset), ("vectors", dsl.Artifact), ("index", str)]
    )

    @dsl.pipeline(name="features", description="Clean, chunk, embed and index a snapshot's documents.")
    def features(author: dict, snapshot: str, recipe: dict) -> Outputs:
        clean = clean_documents(snapshot=snapshot, recipe=recipe, code=options.code_of(clean_documents))
        documents = options.place(clean).outputs["documents"]
        chunk = chunk_documents(documents=documents, recipe=recipe, code=options.code_of(chunk_documents))
        chunks = options.place(chunk).outputs["chunks"]
        embed = embed_chunks(chunks=chunks, recipe=recipe, code=options.code_of(embed_chunks))
        vectors = options.place(embed).outputs["vectors"]
        index = options.place(index_chunks(author=author, chunks=chunks, vectors=vectors, recipe=recipe))
        index.set_caching_options(False)  # it compares with what the index holds, and writes only the difference
        return Outputs(documents=documents, chunks=chunks, vectors=vectors, index=index.outputs["Output"])

    return features
