"""Step: an author's index brought in step with the warehouse, without files between."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def sync_index(author: dict, recipe: dict) -> str:
    """Clean, chunk, embed and write only what changed; return the digest of the index's content."""
    from llm_twin.embedding import load_encoder
    from llm_twin.features.sync import sync_author
    from llm_twin.progress import report
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.settings import EmbeddingSettings, HomeSettings, IndexSettings, WarehouseSettings
    from llm_twin.stores.vectors import VectorIndex
    from llm_twin.stores.warehouse import Warehouse

    settings, store, where = FeaturesRecipe.model_validate(recipe), WarehouseSettings(), IndexSettings()
    cache = HomeSettings().root / "cache" / "embeddings"
    encoder = load_encoder(settings.embedder, cache, settings.precision, settings.batch_size, EmbeddingSettings().key)
    with (
        Warehouse.connect(store.url.get_secret_value(), store.database) as warehouse,
        VectorIndex.connect(where.url, where.key) as index,
    ):
        done = sync_author(warehouse, index, encoder, settings, author["id"])
    report(f"{author['id']}: {done.documents} documents; {done.written} written, {done.deleted} deleted")
    return done.digest
