"""Step: an author's alias pointed at what the shards wrote."""

from kfp import dsl

from components.images import CORE_IMAGE


@dsl.component(base_image=CORE_IMAGE, install_kfp_package=False)
def finish_sync(parts: list, done: list) -> str:
    """Check that all shards' documents are there, show them to readers; return the digest of the index's content."""
    from llm_twin.features import sharding
    from llm_twin.features.indexing import SyncReport
    from llm_twin.progress import report
    from llm_twin.settings import IndexSettings, WarehouseSettings
    from llm_twin.stores.vectors import VectorIndex
    from llm_twin.stores.warehouse import Warehouse

    store, where = WarehouseSettings(), IndexSettings()
    shards = [SyncReport(**one) for one in done]
    with (
        Warehouse.connect(store.url.get_secret_value(), store.database) as warehouse,
        VectorIndex.connect(where.url, where.key) as index,
    ):
        total = sharding.finish_sync(warehouse, index, parts, shards)
    report(f"{parts[0]['author']}: {total.documents} documents; {total.written} written, {total.deleted} deleted")
    return total.digest
