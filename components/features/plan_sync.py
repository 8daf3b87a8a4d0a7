"""Step: an author's documents in, what the index is to hold and the shards that write it out."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def plan_sync(author: dict, recipe: dict, shards: int, wanted: dsl.Output[dsl.Dataset]) -> list:
    """Clean all documents, make the collection where there is none of that layout; return what each shard is called
    with."""
    import json
    from pathlib import Path

    from llm_twin.artifacts import note, seal
    from llm_twin.embedding import load_encoder
    from llm_twin.features import sharding
    from llm_twin.recipes import FeaturesRecipe
    from llm_twin.settings import EmbeddingSettings, IndexSettings, WarehouseSettings
    from llm_twin.stores.vectors import VectorIndex
    from llm_twin.stores.warehouse import Warehouse

    settings, store, where = FeaturesRecipe.model_validate(recipe), WarehouseSettings(), IndexSettings()
    encoder = load_encoder(settings.embedder, None, settings.precision, settings.batch_size, EmbeddingSettings().key)
    with (
        Warehouse.connect(store.url.get_secret_value(), store.database) as warehouse,
        VectorIndex.connect(where.url, where.key) as index,
    ):
        documents, parts = sharding.plan_sync(warehouse, index, encoder, settings, author["id"], shards)
    Path(wanted.path).parent.mkdir(parents=True, exist_ok=True)
    Path(wanted.path).write_text(json.dumps(documents), encoding="utf-8")
    seal(wanted)
    note(wanted, "plan-sync", f"{author['id']}: {len(documents):,} documents, shards: {len(parts)}")
    return parts
