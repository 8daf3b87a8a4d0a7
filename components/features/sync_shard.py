"""Step: one shard of an author's documents brought in step with the warehouse."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def sync_shard(recipe: dict, wanted: dsl.Input[dsl.Dataset], part: dict) -> dict:
    """Clean, chunk, embed and write what differs of the shard's documents; return what was done."""
    import json
    from dataclasses import asdict
    from pathlib import Path

    from llm_twin.embedding import load_encoder
    from llm_twin.features import sharding
    from llm_twin.progress import report
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.settings import EmbeddingSettings, HomeSettings, IndexSettings, WarehouseSettings
    from llm_twin.stores.vectors import VectorIndex
    from llm_twin.stores.warehouse import Warehouse

    settings, store, where = FeaturesRecipe.model_validate(recipe), WarehouseSettings(), IndexSettings()
    cache = HomeSettings().root / "cache" / "embeddings"
    encoder = load_encoder(settings.embedder, cache, settings.precision, settings.batch_size, EmbeddingSettings().key)
    documents = json.loads(Path(wanted.path).read_text(encoding="utf-8"))
    with (
        Warehouse.connect(store.url.get_secret_value(), store.database) as warehouse,
        VectorIndex.connect(where.url, where.key) as index,
    ):
        done = sharding.sync_shard(warehouse, index, encoder, settings, documents, part)
    named = f"{part['author']}, shard {int(part['shard']) + 1} of {int(part['shards'])}"
    report(f"{named}: {done.documents} documents; {done.written} written, {done.deleted} deleted")
    return asdict(done)
