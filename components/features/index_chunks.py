"""Step: chunks and their vectors in, the author's index made to hold them."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def index_chunks(author: dict, chunks: dsl.Input[dsl.Dataset], vectors: dsl.Input[dsl.Artifact], recipe: dict) -> str:
    """Write what differs, delete what is gone; return the digest of the index's content."""
    from pathlib import Path

    from llm_twin.documents import Chunk, read_jsonl
    from llm_twin.features.indexing import index_folder
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.settings import IndexSettings
    from llm_twin.stores.vectors import VectorIndex

    where, settings = IndexSettings(), FeaturesRecipe.model_validate(recipe)
    with VectorIndex.connect(where.url, where.key) as index:
        done = index_folder(author["id"], read_jsonl(chunks.path, Chunk), Path(vectors.path), index, settings)
    return done.digest
