"""Step: clean documents in, chunks out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def chunk_documents(documents: dsl.Input[dsl.Dataset], recipe: dict, code: str, chunks: dsl.Output[dsl.Dataset]):
    """Read CleanDocument lines; write Chunk lines."""
    from llm_twin.artifacts import note, seal
    from llm_twin.documents import CleanDocument, read_jsonl, write_jsonl
    from llm_twin.features import chunking
    from llm_twin.recipes import FeaturesRecipe

    settings = FeaturesRecipe.model_validate(recipe)
    encoder = None
    if settings.chunker == "semantic":
        from llm_twin.embedding import load_encoder

        encoder = load_encoder(settings.embedder, None, settings.precision, settings.batch_size)
    clean = read_jsonl(documents.path, CleanDocument)
    count = write_jsonl(chunks.path, chunking.chunk_documents(clean, settings, encoder))
    seal(chunks)
    note(chunks, "chunk-documents", f"{count:,} chunks")
