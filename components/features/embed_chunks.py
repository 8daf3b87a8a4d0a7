"""Step: chunks in, dense and sparse vectors out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def embed_chunks(chunks: dsl.Input[dsl.Dataset], recipe: dict, code: str, vectors: dsl.Output[dsl.Artifact]):
    """Read Chunk lines; write a folder of their vectors. What was embedded before comes from the cache."""
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.documents import Chunk, read_jsonl
    from llm_twin.embedding import load_encoder
    from llm_twin.features.vectors import write_vectors
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.settings import EmbeddingSettings, HomeSettings

    settings, access = FeaturesRecipe.model_validate(recipe), EmbeddingSettings()
    cache = HomeSettings().root / "cache" / "embeddings"
    encoder = load_encoder(settings.embedder, cache, settings.precision, settings.batch_size, access.key)
    write_vectors(Path(vectors.path), read_jsonl(chunks.path, Chunk), encoder, settings)
    seal(vectors)
    note(vectors, "embed-chunks", f"vectors of {encoder.dimension} dimensions, by {settings.embedder}")
